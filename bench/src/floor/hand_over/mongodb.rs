//! One `findAndModify` acquires, another one releases, and a change stream reports releases.

use anyhow::Result;
use async_trait::async_trait;
use futures_util::StreamExt;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind, WriteFailure};

use super::server::{Notified, NotifyingServer};
use crate::floor::driver::changed_one;
use crate::floor::mongodb::collection;

const DUPLICATE_KEY: i32 = 11000;

pub(super) struct MongoDb(Collection<Document>);

pub(super) async fn open(url: &str, notified: Notified) -> Result<MongoDb> {
    let (_, locks) = collection(url).await?;
    // A server may report an update with the whole document.
    let released = doc! { "$match": { "$or": [
        { "updateDescription.updatedFields.lease": false },
        { "fullDocument.lease": false },
    ] } };
    let mut changes = locks.watch().pipeline([released]).await?.with_type::<Document>();
    tokio::spawn(async move {
        while let Some(Ok(_)) = changes.next().await {
            notified.notify_waiters();
        }
    });
    Ok(MongoDb(locks))
}

#[async_trait]
impl NotifyingServer for MongoDb {
    async fn set(&self, lock: &str) -> Result<bool> {
        let free = doc! { "_id": lock, "lease": false };
        let set = doc! { "$set": { "lease": true } };
        if self.0.find_one_and_update(free, set).await?.is_some() {
            return Ok(true);
        }
        // The document is missing only at the first attempt.
        let insert = doc! { "$setOnInsert": { "lease": true } };
        match self.0.update_one(doc! { "_id": lock }, insert).upsert(true).await {
            Ok(done) => Ok(done.upserted_id.is_some()),
            Err(error) if is_duplicate(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn unset(&self, lock: &str) -> Result<()> {
        let held = doc! { "_id": lock, "lease": true };
        let unset = doc! { "$set": { "lease": false } };
        let found = self.0.find_one_and_update(held, unset).await?;
        changed_one(u64::from(found.is_some()))
    }
}

/// Returns whether another waiter inserted the document at the same time.
fn is_duplicate(error: &Error) -> bool {
    matches!(
        &*error.kind,
        ErrorKind::Write(WriteFailure::WriteError(error)) if error.code == DUPLICATE_KEY
    )
}
