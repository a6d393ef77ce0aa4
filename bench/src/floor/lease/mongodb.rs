//! Two `findAndModify`, each of which waits for a majority. The first has a pipeline, which reads
//! the server's clock.
//!
//! The condition of a grant is a part of the pipeline, so that the filter has only the `_id`. A
//! lease that is not set has the expiry 0.

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use mongodb::options::{Acknowledgment, CollectionOptions, ReturnDocument, WriteConcern};
use mongodb::{Client, Collection};

use super::server::{LeasingServer, TTL_MICROS};
use crate::floor::driver::changed_one;
use crate::floor::record::HOLDER;

pub(super) struct MongoDb(Collection<Document>);

pub(super) async fn open(url: &str, locks: &[String]) -> Result<MongoDb> {
    let client = Client::with_uri_str(url).await?;
    let database = client.default_database().context("the URL names no database")?;
    let majority = WriteConcern::builder().w(Acknowledgment::Majority).build();
    let options = CollectionOptions::builder().write_concern(majority).build();
    let collection: Collection<Document> =
        database.collection_with_options("leasehold_bench_floor_lease", options);
    for lock in locks {
        let mut free = unset();
        free.insert("token", 1_i64);
        let free = doc! { "$set": free };
        collection.update_one(doc! { "_id": lock.as_str() }, free).upsert(true).await?;
    }
    Ok(MongoDb(collection))
}

/// Returns the fields of a lock whose lease is not set.
fn unset() -> Document {
    doc! { "lease": null, "holder": null, "expires": 0_i64 }
}

/// Returns the server's time in milliseconds since 1970.
fn now() -> Document {
    doc! { "$toLong": "$$NOW" }
}

#[async_trait]
impl LeasingServer for MongoDb {
    async fn grant(&self, lock: &str, lease: &str) -> Result<i64> {
        let next = doc! { "$add": ["$token", 1_i64] };
        let token = doc! { "$max": [next, { "$multiply": [now(), 1000_i64] }] };
        let expires = doc! { "$add": [now(), TTL_MICROS / 1000] };
        let set = doc! { "token": token, "lease": lease, "holder": HOLDER, "expires": expires };
        let is_free = doc! { "$lte": ["$expires", now()] };
        let granted = doc! { "$mergeObjects": ["$$ROOT", set] };
        let change = doc! { "$replaceWith": { "$cond": [is_free, granted, "$$ROOT"] } };
        let found = self
            .0
            .find_one_and_update(doc! { "_id": lock }, vec![change])
            .return_document(ReturnDocument::After)
            .await?;
        let lock = found.context("the floor's document is missing")?;
        ensure!(lock.get_str("lease").is_ok_and(|by| by == lease), "the floor's lock is held");
        Ok(lock.get_i64("token")?)
    }

    async fn release(&self, lock: &str, lease: &str) -> Result<()> {
        let filter = doc! { "_id": lock, "lease": lease };
        let found = self.0.find_one_and_update(filter, doc! { "$set": unset() }).await?;
        changed_one(u64::from(found.is_some()))
    }
}
