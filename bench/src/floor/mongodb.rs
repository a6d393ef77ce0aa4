//! The floor of MongoDB: two `findAndModify`, each of which waits for a majority.

use anyhow::{Context, Result};
use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use mongodb::options::{Acknowledgment, CollectionOptions, WriteConcern};
use mongodb::{Client, Collection, Database};

use super::driver::{Floor, changed_one};

pub(super) struct MongoDb {
    database: Database,
    locks: Collection<Document>,
}

pub(super) async fn open(url: &str, locks: &[String]) -> Result<MongoDb> {
    let (database, collection) = collection(url).await?;
    for lock in locks {
        let free = doc! { "$set": { "lease": false } };
        collection.update_one(doc! { "_id": lock.as_str() }, free).upsert(true).await?;
    }
    Ok(MongoDb { database, locks: collection })
}

/// Returns the database of that URL, and a collection whose writes wait for a majority.
pub(super) async fn collection(url: &str) -> Result<(Database, Collection<Document>)> {
    let client = Client::with_uri_str(url).await?;
    let database = client.default_database().context("the URL names no database")?;
    let majority = WriteConcern::builder().w(Acknowledgment::Majority).build();
    let options = CollectionOptions::builder().write_concern(majority).build();
    let collection = database.collection_with_options("leasehold_bench_floor", options);
    Ok((database, collection))
}

#[async_trait]
impl Floor for MongoDb {
    async fn ping(&self) -> Result<()> {
        self.database.run_command(doc! { "ping": 1 }).await?;
        Ok(())
    }

    async fn set_and_unset(&self, lock: &str) -> Result<()> {
        for lease in [true, false] {
            let filter = doc! { "_id": lock, "lease": !lease };
            let update = doc! { "$set": { "lease": lease } };
            let found = self.locks.find_one_and_update(filter, update).await?;
            changed_one(u64::from(found.is_some()))?;
        }
        Ok(())
    }
}
