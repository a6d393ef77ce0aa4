//! This example shows locks in the Redis or Valkey that the application uses already.
//!
//!     cargo run -p leasehold-examples --example redis -- redis://localhost

use std::time::Duration;

use leasehold::redis::RedisStore;
use leasehold::{Client, OpenOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("REDIS_URL").ok());
    let url = url.unwrap_or_else(|| "redis://localhost".to_owned());

    // This is the application's own client, with a connection that the application uses.
    let redis = redis::Client::open(url)?;
    let mut connection = redis.get_multiplexed_async_connection().await?;

    let store = RedisStore::from_client(redis, &OpenOptions::default()).await?;
    let client = Client::new(store)?;

    let guard = client.lock("nightly-report")?.acquire(Duration::from_secs(30)).await?;
    println!("held, under token {}", guard.token());
    redis::cmd("SET")
        .arg("report")
        .arg(guard.token().get())
        .query_async::<()>(&mut connection)
        .await?;
    guard.release().await?;
    Ok(())
}
