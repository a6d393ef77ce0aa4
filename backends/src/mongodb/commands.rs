//! The commands that the store sends, each with a permit of the client of this runtime.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, RawArrayBuf, doc, rawdoc};
use mongodb::options::ReturnDocument;
use tokio::time::{Instant, sleep, timeout};

use super::clients::{Clients, Handles};
use super::collection::{COMMAND_LIMIT, UPSERT_TRIES};
use super::fields::CorruptDocument;
use super::permits::PermitKind;
use super::{error_codes, pipeline, record};
use crate::shell::{Entry, RecentRefusals};
use crate::{Error, ErrorKind, LockName, LockRecord, Result};

/// The backend of a [`MongoStore`](super::MongoStore).
pub struct Mongo {
    pub(super) label: String,
    pub(super) clients: Clients,
    /// This is true if the server has change streams.
    pub(super) push: bool,
    /// Attempts at these names read them first.
    pub(super) refusals: RecentRefusals,
}

/// What a call did to a document.
pub(super) enum Effect {
    /// The call changed the document.
    Changed,
    /// The document did not fulfil the condition of the change, or does not exist.
    Unchanged(Option<Document>),
}

/// The reply to a batch of updates.
pub(super) struct BatchReply {
    /// How many documents were changed.
    pub(super) changed: usize,
    /// The indexes of the updates that failed, with their errors.
    pub(super) failed: Vec<(usize, Error)>,
}

impl fmt::Debug for Mongo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mongo")
            .field("label", &self.label)
            .field("collection", &self.locks())
            .finish_non_exhaustive()
    }
}

impl Mongo {
    pub(super) fn new(label: String, clients: Clients, push: bool) -> Self {
        Self { label, clients, push, refusals: RecentRefusals::default() }
    }

    /// Returns the name of the collection of locks.
    pub(super) fn locks(&self) -> &str {
        &self.clients.names().locks
    }

    /// Runs one command with the client of this runtime, after it got a permit.
    ///
    /// A holder's command that is unanswered for too long returns its permit, since it is repeated
    /// over another connection. The limit grows with each such command, so that a server that hangs
    /// does not get many of them.
    pub(super) async fn run<T, F>(
        &self,
        purpose: Option<PermitKind>,
        command: impl FnOnce(Arc<Handles>) -> F,
    ) -> Result<mongodb::error::Result<T>>
    where
        F: Future<Output = mongodb::error::Result<T>>,
    {
        let permits = Arc::clone(&self.clients.handles()?.permits);
        let permit = match purpose {
            Some(purpose) => Some(permits.get(purpose).await?),
            None => None,
        };
        // The client may have been replaced while the permit was awaited.
        let at = self.clients.handles()?;
        let begun = Instant::now();
        let mut command = pin!(command(Arc::clone(&at)));
        let answer = match timeout(self.clients.silence(&at), &mut command).await {
            Ok(answer) => answer,
            Err(_) => {
                let replaced = self.clients.mark_suspect(&at, begun);
                let _held = permit.filter(|_| !(replaced && purpose == Some(PermitKind::Holder)));
                command.await
            }
        };
        if answer.is_ok() {
            self.clients.record_reply(&at, begun.elapsed());
        }
        Ok(answer)
    }

    /// Changes the document of that name, as a holder's command. The pipeline decides whether it
    /// changes the document, and writes the mark if it does.
    pub(super) async fn change(
        &self,
        name: &LockName,
        change: Vec<Document>,
        mark: &str,
    ) -> Result<Effect> {
        let after = self.modify(PermitKind::Holder, name, change, false).await?;
        let after = after.map_err(error_codes::writing)?;
        let is_marked = |document: &Document| document.get_str("call").is_ok_and(|by| by == mark);
        Ok(if after.as_ref().is_some_and(is_marked) {
            Effect::Changed
        } else {
            Effect::Unchanged(after)
        })
    }

    /// Fails if a later version of this library wrote the document of that name, which a change
    /// therefore left as it is.
    pub(super) fn check_version(
        &self,
        name: &LockName,
        unchanged: Option<&Document>,
    ) -> Result<()> {
        unchanged
            .map_or(Ok(()), record::check_version)
            .map_err(|damage| damage.in_collection(self.locks()).for_lock(name))
    }

    /// Changes the document of that name, or creates it, and returns it as it is after the change.
    ///
    /// The document itself contains whether this call changed it.
    pub(super) async fn upsert(
        &self,
        purpose: PermitKind,
        name: &LockName,
        change: Vec<Document>,
    ) -> Result<Document> {
        for tries in 1..=UPSERT_TRIES {
            match self.modify(purpose, name, change.clone(), true).await? {
                Ok(Some(document)) => return Ok(document),
                // Another upsert created the document in the meantime.
                Ok(None) => {}
                Err(cause) if error_codes::is_conflict(&cause) && tries < UPSERT_TRIES => {}
                Err(cause) => return Err(error_codes::writing(cause)),
            }
            sleep(Duration::from_millis(fastrand::u64(0..=tries))).await;
        }
        Err(self.contradiction())
    }

    pub(super) async fn modify(
        &self,
        purpose: PermitKind,
        name: &LockName,
        change: Vec<Document>,
        upsert: bool,
    ) -> Result<mongodb::error::Result<Option<Document>>> {
        let filter = pipeline::named(name);
        let modify = |at: Arc<Handles>| async move {
            at.locks
                .find_one_and_update(filter, change)
                .upsert(upsert)
                .return_document(ReturnDocument::After)
                .max_time(COMMAND_LIMIT)
                .await
        };
        self.run(Some(purpose), modify).await
    }

    /// Runs several updates in one command, each on its own: a failure does not stop the others.
    pub(super) async fn update_many(&self, updates: RawArrayBuf) -> Result<BatchReply> {
        let limit = i64::try_from(COMMAND_LIMIT.as_millis()).unwrap_or(i64::MAX);
        let command = rawdoc! {
            "update": self.locks(),
            "updates": updates,
            "ordered": false,
            "writeConcern": { "w": "majority", "wtimeout": limit },
            "maxTimeMS": limit,
        };
        let answer = self.run(Some(PermitKind::Holder), |at| async move {
            at.database.run_raw_command(command).await
        });
        let answer = answer.await?.map_err(error_codes::writing)?;
        if let Ok(unmet) = answer.get_document("writeConcernError") {
            return Err(partial_failure(unmet));
        }
        let changed = match answer.get("nModified") {
            Some(Bson::Int32(count)) => usize::try_from(*count).unwrap_or(0),
            Some(Bson::Int64(count)) => usize::try_from(*count).unwrap_or(0),
            _ => 0,
        };
        let failed = answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        let failed = failed.iter().map(failed_update).collect::<Result<_>>()?;
        Ok(BatchReply { changed, failed })
    }

    /// Runs an aggregation that reads at most `limit` locks, in one round trip if they fit.
    pub(super) async fn read_locks(
        &self,
        purpose: PermitKind,
        stages: Vec<Document>,
        limit: usize,
    ) -> Result<Vec<Document>> {
        self.aggregate(purpose, |at| &at.locks, stages, limit).await
    }

    /// Does the same as [`read_locks`](Self::read_locks), for instances.
    pub(super) async fn read_instances(
        &self,
        stages: Vec<Document>,
        limit: usize,
    ) -> Result<Vec<Document>> {
        self.aggregate(PermitKind::Other, |at| &at.instances, stages, limit).await
    }

    async fn aggregate(
        &self,
        purpose: PermitKind,
        collection: fn(&Handles) -> &Collection<Document>,
        stages: Vec<Document>,
        limit: usize,
    ) -> Result<Vec<Document>> {
        let batch = u32::try_from(limit.saturating_add(1)).unwrap_or(u32::MAX).min(10_000);
        let read = |at: Arc<Handles>| async move {
            let read = collection(&at).aggregate(stages).batch_size(batch);
            read.max_time(COMMAND_LIMIT).await?.try_collect().await
        };
        self.run(Some(purpose), read).await?.map_err(error_codes::reading)
    }

    /// Reads the document of that name, with the server's time.
    pub(super) async fn find(&self, name: &LockName) -> Result<Option<Document>> {
        let stages = pipeline::read(pipeline::named(name));
        Ok(self.read_locks(PermitKind::Other, stages, 1).await?.pop())
    }

    /// Returns the entry of a document that was read with the server's time.
    pub(super) fn entry(&self, document: &Document) -> Entry {
        match self.with_time(document) {
            Ok(record) => Entry::Record(record),
            Err(error) => Entry::Corrupt { name: record::name(document, self.locks()).ok(), error },
        }
    }

    /// Parses a document that was read with the server's time.
    pub(super) fn with_time(&self, document: &Document) -> Result<LockRecord> {
        record::record(document, self.locks(), record::now(document)?)
    }

    /// Parses a document that was returned by a write, with the server's time of a moment later.
    /// The remaining time of its lease is therefore never too long.
    pub(super) async fn as_of_now(
        &self,
        purpose: PermitKind,
        document: &Document,
    ) -> Result<LockRecord> {
        let hello = self.run(Some(purpose), |at| async move {
            at.database.run_command(doc! { "hello": 1 }).await
        });
        let hello = hello.await?.map_err(error_codes::reading)?;
        let now = hello.get_datetime("localTime").map_err(|source| {
            Error::new(ErrorKind::Unsupported, "the server did not return its time")
                .with_source(source)
        })?;
        record::record(document, self.locks(), now.timestamp_millis())
    }

    /// Returns the error for a document about which the server and this code disagree.
    pub(super) fn contradiction(&self) -> Error {
        CorruptDocument::new("the record contradicts itself").in_collection(self.locks())
    }
}

/// Returns the index of an update that failed, and its error.
fn failed_update(failed: &Bson) -> Result<(usize, Error)> {
    let failed = failed.as_document();
    let number = failed.and_then(|it| usize::try_from(it.get_i32("index").ok()?).ok());
    match (number, failed) {
        (Some(number), Some(failed)) => Ok((number, partial_failure(failed))),
        _ => Err(Error::new(ErrorKind::OutcomeUnknown, "some of the updates failed")),
    }
}

fn partial_failure(failed: &Document) -> Error {
    error_codes::partial_failure(
        failed.get_i32("code").unwrap_or(0),
        failed.get_str("errmsg").unwrap_or_default(),
    )
}
