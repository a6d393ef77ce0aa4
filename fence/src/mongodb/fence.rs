//! A fence is raised and checked in MongoDB.

use std::time::{Duration, Instant};

use ::mongodb::bson::{Document, doc};
use ::mongodb::error::Error as Cause;
use ::mongodb::options::{Acknowledgment, CollectionOptions, WriteConcern};
use ::mongodb::{ClientSession, Collection, Database};
use leasehold_core::{Error as CoreError, ErrorKind, FencingToken, Namespace};

use super::error::{
    code, code_of, describe, is_acknowledgment_missing, is_transaction_in_progress,
};
use crate::{Blocked, Error, NotRaised, Result, Stale, Term};

/// The server takes a limit of 0 as no limit, so this is the shortest one.
const SHORTEST_LIMIT: Duration = Duration::from_millis(1);

/// This is the longest limit; its milliseconds must fit into 32 bits.
const LONGEST_LIMIT: Duration = Duration::from_secs(2_000_000);

/// A majority has at least this long to confirm a raise, even if the limit has expired.
const SHORTEST_CONFIRMATION: Duration = Duration::from_secs(1);

/// A fence belongs to one term, and protects data in MongoDB.
///
/// It has two collections, `NAMESPACE_fence` and `NAMESPACE_fence_intent`, which the first raise
/// creates.
#[derive(Clone, Debug)]
pub struct MongoFence {
    term: Term,
    fence: Collection<Document>,
    /// Checks read these documents and never write to them, so a raise sets its intent at once.
    intent: Collection<Document>,
}

impl MongoFence {
    /// Creates the fence of a term, in the database that has the data.
    #[must_use]
    pub fn new(database: &Database, namespace: &Namespace, term: &Term) -> Self {
        // A raise is acknowledged once a majority has it, so that a failover cannot lose it.
        let concern = WriteConcern::builder().w(Acknowledgment::Majority).build();
        let options = CollectionOptions::builder().write_concern(concern).build();
        let collection = |name: &str| database.collection_with_options(name, options.clone());
        Self {
            term: term.clone(),
            fence: collection(&format!("{namespace}_fence")),
            intent: collection(&format!("{namespace}_fence_intent")),
        }
    }

    /// Returns the term.
    #[must_use]
    pub fn term(&self) -> &Term {
        &self.term
    }

    /// Raises the fence: from then on no transaction of an older term can commit.
    ///
    /// It refuses the checks of older terms, and then waits at most `limit` for their transactions
    /// that had passed one. The server itself ends a transaction after a minute, by default.
    ///
    /// The limit does not bound the wait for a server that is gone: wrap the call in a timeout, and
    /// then raise the fence again.
    ///
    /// # Errors
    /// This fails with [`Error::Stale`] if a newer term has raised its fence, and with
    /// [`Error::Blocked`] if the time limit expired. After an error of the kind
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) the fence is raised or not; raise it again.
    ///
    /// # Cancel safety
    /// If the future is dropped, the fence is raised or not; raise it again.
    pub async fn raise(&self, limit: Duration) -> Result<()> {
        let began = Instant::now();
        let left = || limit.saturating_sub(began.elapsed());
        self.keep_largest(&self.intent, limit, began).await?;
        self.keep_largest(&self.fence, left(), began).await?;
        match self.confirm(left().max(SHORTEST_CONFIRMATION)).await? {
            Some(raised) => self.refuse_newer(self.token_of(&raised)?),
            None => {
                let stored = self.fence.find_one(self.by_name()).await;
                self.compare(stored.map_err(|cause| self.error(cause))?.as_ref())
            }
        }
    }

    /// Returns the fence's document if it has been raised, once a majority has it.
    ///
    /// This update changes nothing, but unlike a read it waits for the majority: an earlier call
    /// may have written the token, and may have ended before a majority had it.
    async fn confirm(&self, limit: Duration) -> Result<Option<Document>> {
        let floor = i64::from(self.term.floor());
        let raised = doc! { "_id": self.term.name().as_str(), "token": { "$gte": floor } };
        let kept = doc! { "$max": { "token": floor } };
        let confirmed = self.fence.find_one_and_update(raised, kept);
        let confirmed = confirmed.max_time(limit.min(LONGEST_LIMIT));
        confirmed.await.map_err(|cause| self.error(cause))
    }

    /// Sets the token of a document if it is smaller or missing.
    async fn keep_largest(
        &self,
        collection: &Collection<Document>,
        limit: Duration,
        began: Instant,
    ) -> Result<()> {
        let floor = i64::from(self.term.floor());
        let smaller = doc! { "_id": self.term.name().as_str(), "token": { "$lt": floor } };
        let update = collection
            .find_one_and_update(smaller, doc! { "$set": { "token": floor } })
            .upsert(true)
            .max_time(limit.clamp(SHORTEST_LIMIT, LONGEST_LIMIT));
        match update.await {
            Ok(_) => Ok(()),
            Err(cause) => match code_of(&cause) {
                // The document has a token that is not smaller.
                Some(code::DUPLICATE_KEY) => Ok(()),
                Some(code::MAX_TIME_EXPIRED) => {
                    let (name, token) = (self.term.name(), self.term.token());
                    Err(Error::Blocked(Blocked::new(name, token, began.elapsed(), Vec::new())))
                }
                _ => Err(self.error(cause)),
            },
        }
    }

    /// Checks the fence as the first statement of a transaction on that session. On an error, abort
    /// the transaction.
    ///
    /// # Errors
    /// This fails with [`Error::Stale`] if a newer term has raised its fence, with
    /// [`Error::NotRaised`] if this one has not, and with [`Error::Conflict`] if another transaction
    /// has checked and is still open, or this term's fence is being raised. It fails with
    /// [`ErrorKind::Invalid`] if the session has no transaction; a commit whose outcome is unknown can
    /// still be repeated after that.
    ///
    /// In a callback of the driver's `and_run` or `and_run2`, return
    /// [`callback_error`](crate::mongodb::callback_error) of the error.
    ///
    /// # Cancel safety
    /// If the future is dropped, abort the transaction.
    pub async fn check(&self, session: &mut ClientSession) -> Result<()> {
        self.require_transaction(session).await?;
        let intent = self.intent.find_one(self.by_name()).session(&mut *session);
        let intent = intent.await.map_err(|cause| self.error(cause))?;
        let intent = intent.map(|intent| self.token_of(&intent)).transpose()?;
        if let Some(intent) = intent {
            self.refuse_newer(intent)?;
        }
        let (token, floor) = (i64::from(self.term.token()), i64::from(self.term.floor()));
        let name = self.term.name().as_str();
        let accepted = doc! { "_id": name, "token": { "$gte": floor, "$lte": token } };
        // The document must change: an update that changes nothing conflicts with no other.
        let change = doc! { "$inc": { "checks": 1_i64 } };
        let locked = self.fence.find_one_and_update(accepted, change).session(&mut *session);
        if locked.await.map_err(|cause| self.error(cause))?.is_some() {
            return Ok(());
        }
        let stored = self.fence.find_one(self.by_name()).session(&mut *session);
        let compared = self.compare(stored.await.map_err(|cause| self.error(cause))?.as_ref());
        let message = match compared {
            Err(Error::NotRaised(_)) if intent.is_some_and(|it| it >= self.term.floor()) => {
                "the fence is being raised for this term, and is not raised yet"
            }
            // The document changed between the two statements, so the transaction has no snapshot.
            Ok(()) => "the fence was raised during the check",
            Err(error) => return Err(error),
        };
        Err(Error::Conflict(
            CoreError::new(ErrorKind::Unavailable, message)
                .during("fence check")
                .with_fix("abort the transaction, and run it again")
                .for_lock(self.term.name()),
        ))
    }

    /// Refuses a session that has no transaction, without a call to the server. The driver shows
    /// only whether the session can start one.
    ///
    /// The driver refuses a transaction whose writes would not be acknowledged, so no transaction
    /// is started. Otherwise the application could no longer repeat a commit whose outcome is
    /// unknown.
    async fn require_transaction(&self, session: &mut ClientSession) -> Result<()> {
        let unacknowledged = WriteConcern::builder().w(Acknowledgment::Nodes(0)).build();
        match session.start_transaction().write_concern(unacknowledged).await {
            Err(cause) if is_transaction_in_progress(&cause) => return Ok(()),
            Err(cause) if is_acknowledgment_missing(&cause) => {}
            Err(cause) => return Err(self.error(cause)),
            // Another version of the driver may start one; the server does not know of it.
            Ok(()) => session.abort_transaction().await.map_err(|cause| self.error(cause))?,
        }
        let message = "the fence was checked outside a transaction, which protects nothing";
        Err(CoreError::invalid(message)
            .with_fix("start one first, and make the check its first statement")
            .for_lock(self.term.name())
            .into())
    }

    fn by_name(&self) -> Document {
        doc! { "_id": self.term.name().as_str() }
    }

    /// Compares the term with the fence's document.
    fn compare(&self, stored: Option<&Document>) -> Result<()> {
        let raised = stored.map(|stored| self.token_of(stored)).transpose()?;
        if let Some(raised) = raised {
            self.refuse_newer(raised)?;
        }
        if raised.is_none_or(|raised| raised < self.term.floor()) {
            return Err(Error::NotRaised(NotRaised::new(self.term.name(), self.term.token())));
        }
        Ok(())
    }

    fn refuse_newer(&self, raised: FencingToken) -> Result<()> {
        let (name, token) = (self.term.name(), self.term.token());
        if raised > token {
            return Err(Error::Stale(Stale::new(name, token, Some(raised))));
        }
        Ok(())
    }

    fn token_of(&self, stored: &Document) -> Result<FencingToken> {
        let number = stored.get_i64("token").ok().and_then(|number| u64::try_from(number).ok());
        number.and_then(|number| FencingToken::new(number).ok()).ok_or_else(|| {
            CoreError::new(ErrorKind::Corrupt, "the fence's document does not have a token")
                .with_fix("use another namespace, or remove the document")
                .for_lock(self.term.name())
                .into()
        })
    }

    /// Translates an error of a transaction that checks the fence.
    ///
    /// If the error of a commit has the kind [`OutcomeUnknown`](ErrorKind::OutcomeUnknown), the
    /// transaction may have been committed: commit it again, which is safe, and do not run it
    /// again.
    #[must_use]
    pub fn error(&self, cause: Cause) -> Error {
        describe(cause, self.term.name())
    }
}
