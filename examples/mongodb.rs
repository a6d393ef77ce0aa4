//! This example shows locks in the MongoDB database that the application already has, on its own
//! client.
//!
//! The token is written into the documents that the lock protects: a holder whose lock was granted
//! again finds a larger token there, and changes nothing. Start it in two or more terminals: they
//! take turns.
//!
//! ```text
//! cargo run -p leasehold-examples --example mongodb mongodb://localhost/app
//! ```

use std::error::Error;
use std::time::Duration;

use leasehold::mongodb::MongoStore;
use leasehold::{Client, FencingToken, OpenOptions};
use mongodb::Database;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("MONGODB_URL").ok());
    let url = url.unwrap_or_else(|| "mongodb://localhost/leasehold_example".to_owned());
    let mut options = ClientOptions::parse(&url).await?;
    // This is enough for the calls of the store and of the application, and for the store's watch.
    options.max_pool_size = Some(20);
    options.max_connecting = Some(12);
    let database = mongodb::Client::with_options(options)?
        .default_database()
        .ok_or("the URL names no database")?;

    // No set-up is needed: the first lock creates the collection `leasehold_locks`.
    let store = MongoStore::from_database(database.clone(), &OpenOptions::default()).await?;
    let lock = Client::new(store)?.lock("daily-report")?;
    for _ in 0..5 {
        let guard = lock.acquire(Duration::from_secs(60)).await?;
        let token = guard.token();
        println!("token {token}: the run is counted: {}", count_run(&database, token).await?);
        guard.release().await?;
        // Waiters are not served in order, so this instance pauses to let others acquire the lock.
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Counts a run unless a later holder has written. Check and write are one update.
async fn count_run(database: &Database, token: FencingToken) -> Result<bool, Box<dyn Error>> {
    let reports = database.collection::<Document>("reports");
    let token = i64::from(token);
    let first = doc! { "$setOnInsert": { "token": token, "runs": 0 } };
    reports.update_one(doc! { "_id": "daily" }, first).upsert(true).await?;
    let not_newer = doc! { "_id": "daily", "token": { "$lte": token } };
    let change = doc! { "$set": { "token": token }, "$inc": { "runs": 1 } };
    Ok(reports.update_one(not_newer, change).await?.matched_count == 1)
}
