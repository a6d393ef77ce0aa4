//! What the clones of a store share, and its ways to ask the server.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{
    Acknowledgment, CollectionOptions, ReadConcern, ReadPreference, ReturnDocument,
    SelectionCriteria, WriteConcern,
};
use mongodb::{Collection, Database};
use tokio::time::sleep;

use super::permits::{Permits, Purpose};
use super::refused::Refused;
use super::{error, pipeline, record};
use crate::common::limit::CALL_LIMIT;
use crate::{Error, ErrorKind, LockName, LockRecord, Result};

/// What the server is given for one command, a little less than the call.
pub(super) const COMMAND_LIMIT: Duration = CALL_LIMIT.saturating_sub(Duration::from_secs(2));

/// How often an upsert is tried that others keep overtaking.
pub(super) const TRIES: u64 = 10;

pub(super) struct Shared {
    pub(super) label: String,
    pub(super) database: Database,
    /// With concerns of its own: what the application chose for its client is for its data.
    pub(super) collection: Collection<Document>,
    /// Beside it, of what instances say of themselves.
    pub(super) instances: Collection<Document>,
    /// Whether the server has change streams.
    pub(super) push: bool,
    pub(super) permits: Permits,
    /// Attempts at these names read them first.
    pub(super) refused: Refused,
}

pub(super) fn collection(database: &Database, name: &str) -> Collection<Document> {
    let options = CollectionOptions::builder()
        .write_concern(write_concern())
        // Whoever reads wants the latest, which only the primary has; nothing is decided by it.
        .read_concern(ReadConcern::local())
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .build();
    database.collection_with_options(name, options)
}

fn write_concern() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).w_timeout(COMMAND_LIMIT).build()
}

impl Shared {
    /// Changes the one document that the filter finds, for a holder, and returns the changed
    /// document.
    pub(super) async fn update(
        &self,
        filter: Document,
        change: Vec<Document>,
    ) -> Result<Option<Document>> {
        let _permit = self.permits.get(Purpose::Holder).await?;
        self.modify(&filter, &change, false).await.map_err(error::writing)
    }

    /// Changes the document of that name, or creates it, and gives it as it is after that.
    ///
    /// It is never given as it was before: whether this very call changed it stands in it.
    pub(super) async fn upsert(
        &self,
        purpose: Purpose,
        name: &LockName,
        change: Vec<Document>,
    ) -> Result<Document> {
        let filter = pipeline::named(name);
        let _permit = self.permits.get(purpose).await?;
        for tries in 1..=TRIES {
            match self.modify(&filter, &change, true).await {
                Ok(Some(document)) => return Ok(document),
                // Two upserts at once: the other's document is there now.
                Ok(None) => {}
                Err(cause) if error::is_conflict(&cause) && tries < TRIES => {}
                Err(cause) => return Err(error::writing(cause)),
            }
            sleep(Duration::from_millis(fastrand::u64(0..=tries))).await;
        }
        Err(self.contradiction())
    }

    async fn modify(
        &self,
        filter: &Document,
        change: &[Document],
        upsert: bool,
    ) -> mongodb::error::Result<Option<Document>> {
        self.collection
            .find_one_and_update(filter.clone(), change.to_vec())
            .upsert(upsert)
            .return_document(ReturnDocument::After)
            .max_time(COMMAND_LIMIT)
            .await
    }

    /// Runs several updates in one command, each on its own: a failure does not stop the others.
    /// Returns the indexes of the updates that failed, with their errors.
    pub(super) async fn update_many(&self, updates: Vec<Document>) -> Result<Vec<(usize, Error)>> {
        let limit = i64::try_from(COMMAND_LIMIT.as_millis()).unwrap_or(i64::MAX);
        let command = doc! {
            "update": self.collection.name(),
            "updates": updates,
            "ordered": false,
            "writeConcern": { "w": "majority", "wtimeout": limit },
            "maxTimeMS": limit,
        };
        let _permit = self.permits.get(Purpose::Holder).await?;
        let answer = self.database.run_command(command).await.map_err(error::writing)?;
        if let Ok(unmet) = answer.get_document("writeConcernError") {
            return Err(partly(unmet));
        }
        let failed = answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        failed.iter().map(failed_update).collect()
    }

    /// Runs an aggregation that reads at most `limit` locks, in one round trip if they fit.
    pub(super) async fn read(
        &self,
        purpose: Purpose,
        stages: Vec<Document>,
        limit: usize,
    ) -> Result<Vec<Document>> {
        self.read_of(&self.collection, purpose, stages, limit).await
    }

    /// The same of any collection.
    pub(super) async fn read_of(
        &self,
        collection: &Collection<Document>,
        purpose: Purpose,
        stages: Vec<Document>,
        limit: usize,
    ) -> Result<Vec<Document>> {
        let batch = u32::try_from(limit.saturating_add(1)).unwrap_or(u32::MAX).min(10_000);
        let _permit = self.permits.get(purpose).await?;
        let cursor = collection.aggregate(stages).batch_size(batch).max_time(COMMAND_LIMIT);
        cursor.await.map_err(error::reading)?.try_collect().await.map_err(error::reading)
    }

    pub(super) async fn find(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let stages = pipeline::read(pipeline::named(name));
        let found = self.read(Purpose::Other, stages, 1).await?;
        found.first().map(|document| self.with_time(document)).transpose()
    }

    /// Like [`find`](Self::find), but a damaged document is a record that says so.
    pub(super) async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let stages = pipeline::read(pipeline::named(name));
        let found = self.read(Purpose::Other, stages, 1).await?;
        Ok(found.first().map(|document| {
            let record = self.with_time(document);
            record.unwrap_or_else(|error| LockRecord::unreadable(name.clone(), &error))
        }))
    }

    /// A document that was read with the server's time.
    pub(super) fn with_time(&self, document: &Document) -> Result<LockRecord> {
        record::record(document, self.collection.name(), record::now(document)?)
    }

    /// What a document says as of now: the state is that of its writing, what is left is a moment
    /// newer, hence never too long.
    pub(super) async fn as_of_now(&self, document: &Document) -> Result<LockRecord> {
        let _permit = self.permits.get(Purpose::Other).await?;
        let hello = self.database.run_command(doc! { "hello": 1 }).await.map_err(error::reading)?;
        let now = hello.get_datetime("localTime").map_err(|source| {
            Error::new(ErrorKind::Unsupported, "the server does not tell its time")
                .with_source(source)
        })?;
        record::record(document, self.collection.name(), now.timestamp_millis())
    }

    /// The server found the document to be one way, and this code another.
    pub(super) fn contradiction(&self) -> Error {
        record::Damage::new("its state contradicts itself").in_collection(self.collection.name())
    }
}

/// Returns the index of an update that failed, and its error.
fn failed_update(failed: &Bson) -> Result<(usize, Error)> {
    let failed = failed.as_document();
    let number = failed.and_then(|it| usize::try_from(it.get_i32("index").ok()?).ok());
    match (number, failed) {
        (Some(number), Some(failed)) => Ok((number, partly(failed))),
        _ => Err(Error::new(ErrorKind::OutcomeUnknown, "the server failed some of the updates")),
    }
}

fn partly(failed: &Document) -> Error {
    error::partly(failed.get_i32("code").unwrap_or(0), failed.get_str("errmsg").unwrap_or_default())
}
