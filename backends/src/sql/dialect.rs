//! A dialect has what differs between SQL databases.

use std::fmt::Debug;
use std::time::Duration;

use sqlx::{Database, Pool};

use super::purpose::Purpose;
use super::released_names::ReleasedNames;
use super::row::{self, Columns};
use super::statement::{Statement, Statements, Values};
use crate::shell::{Decision, Found, Hints, Page, StoredInstance};
use crate::{
    AcquireOptions, Capabilities, Error, ErrorKind, FencingToken, Grant, LeaseId, LockName,
    LockRecord, ReleaseOptions, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

/// A dialect is the part of a backend that depends on the database. Each dialect is a
/// [`Backend`](crate::shell::Backend).
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `leasehold::shell::Backend`",
    label = "implement `Backend` for this type"
)]
pub(crate) trait Dialect: Debug + Send + Sync + Sized + 'static {
    /// This is the driver.
    type Db: Database;

    /// The driver has rows of this type.
    type Row: Columns;

    /// One page of a list reads at most this many rows.
    const MAX_ROWS: usize = usize::MAX;

    /// Returns the name of the store in messages.
    fn label(&self) -> &str;

    /// Returns what the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Returns the pool of connections; the store is closed with it.
    fn pool(&self) -> &Pool<Self::Db>;

    /// Returns the statements on the store's tables.
    fn statements(&self) -> &Statements;

    /// Returns the names that the store has released.
    fn released_names(&self) -> &ReleasedNames;

    /// Runs a statement that changes nothing.
    fn select(
        &self,
        statement: &Statement,
        values: &Values<'_>,
    ) -> impl Future<Output = Result<Vec<Self::Row>>> + Send;

    /// Grants the name of the values by a statement that does nothing but this. Returns `None` if the
    /// name is not free, or has no row yet.
    fn grant_free(
        &self,
        statement: &Statement,
        values: &Values<'_>,
    ) -> impl Future<Output = Result<Option<FencingToken>>> + Send;

    /// Grants or disables the name of the values. Returns the token that was granted, or what stood
    /// against it.
    fn decide(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> impl Future<Output = Result<Decision<Option<FencingToken>>>> + Send;

    /// Runs a statement that writes. Returns whether it changed anything if it is a release or an
    /// enable; the result of others has no meaning.
    fn change(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Announces the instance of the values. Returns whether the rows of expired instances are to
    /// be removed now.
    fn put_instance(&self, values: &Values<'_>) -> impl Future<Output = Result<bool>> + Send;

    /// Extends leases, with one result each in the same order.
    fn extend(
        &self,
        leases: &[&RenewOptions],
    ) -> impl Future<Output = Result<Vec<Result<RenewOutcome>>>> + Send;

    /// Adds an entry to the queue of the values' name, unless something prevents it, and returns
    /// the record as the statement left it; `None` if it changed before it was read. See
    /// [`entries`](crate::shell::entries).
    ///
    /// The values have the name, the lease, the holder, the ttl, the kind, its capacity, the weight
    /// and whether the entry may wait.
    fn add_entry(
        &self,
        values: &Values<'_>,
    ) -> impl Future<Output = Result<Option<LockRecord>>> + Send {
        let _ = values;
        async { Err(queues_unsupported()) }
    }

    /// Removes the entry of the values' name and lease, if it is live, and causes the hint. See
    /// [`entries`](crate::shell::entries).
    fn remove_entry(
        &self,
        values: &Values<'_>,
    ) -> impl Future<Output = Result<ReleaseOutcome>> + Send {
        let _ = values;
        async { Err(queues_unsupported()) }
    }

    /// Extends entries of queues, with one result each in the same order. See
    /// [`entries`](crate::shell::entries).
    fn extend_entries(
        &self,
        entries: &[&RenewOptions],
    ) -> impl Future<Output = Result<Vec<Result<RenewOutcome>>>> + Send {
        let _ = entries;
        async { Err(queues_unsupported()) }
    }

    /// Ends leases by one statement, with one result each in the same order. `None` means that each
    /// lease is released by a statement of its own.
    fn end(
        &self,
        leases: &[&ReleaseOptions],
    ) -> impl Future<Output = Result<Option<Vec<Result<ReleaseOutcome>>>>> + Send {
        let _ = leases;
        async { Ok(None) }
    }

    /// Finds the next names that are unused, and removes each unless it is in use again. A dry run
    /// removes nothing.
    fn prune(
        &self,
        page: &Page<'_>,
        unused_for: Duration,
        dry_run: bool,
    ) -> impl Future<Output = Result<Found<LockName>>> + Send;

    /// Reports changes until they can no longer be watched.
    fn watch(&self, hints: &Hints) -> impl Future<Output = Result<()>> + Send;

    /// Returns a function that reads rows of the table of locks, all as of the same moment.
    fn record_reader(&self) -> impl Fn(&Self::Row) -> Result<LockRecord> {
        |row| row::record(row, &self.statements().table)
    }

    /// Returns a function that reads rows of the table of instances, all as of the same moment. It
    /// returns `None` for one that has expired.
    fn instance_reader(&self) -> impl Fn(&Self::Row) -> Option<StoredInstance> {
        |row| row::stored_instance(row, &self.statements().instances.table)
    }

    /// Notes that a caller asks about the name.
    fn on_ask(&self, name: &LockName) {
        let _ = name;
    }

    /// Notes the decision about an attempt.
    ///
    /// # Errors
    /// This returns [`Corrupt`](crate::ErrorKind::Corrupt) if the record contradicts itself.
    fn on_acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        decision: &Decision<Grant>,
    ) -> Result<()> {
        let _ = (name, options, decision);
        Ok(())
    }

    /// Notes the outcome of a release.
    fn on_release(&self, name: &LockName, lease: LeaseId, outcome: ReleaseOutcome) {
        let _ = (name, lease, outcome);
    }
}

fn queues_unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "the store does not support queues")
        .with_fix("use an exclusive lock, or another store")
}
