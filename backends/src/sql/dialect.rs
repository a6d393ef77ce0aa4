//! What differs between the servers of SQL databases.

use std::fmt::Debug;

use super::pool::Purpose;
use super::prune::PruneCandidate;
use super::row::Columns;
use super::statement::{Statement, Statements, Values};
use crate::shell::{Decision, Hints};
use crate::{
    AcquireOptions, Capabilities, FencingToken, Grant, LeaseId, LockName, ReleaseOutcome,
    RenewOptions, RenewOutcome, Result,
};

/// The part of a backend that depends on the server. Each dialect is a
/// [`Backend`](crate::shell::Backend).
pub(crate) trait Dialect: Debug + Send + Sync + Sized + 'static {
    /// The driver's rows.
    type Row: Columns;

    /// Returns the name of the store in messages.
    fn label(&self) -> &str;

    /// Returns what the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Returns the statements on the store's tables.
    fn statements(&self) -> &Statements;

    /// Runs a statement that changes nothing.
    fn select(
        &self,
        statement: &Statement,
        values: &Values<'_>,
    ) -> impl Future<Output = Result<Vec<Self::Row>>> + Send;

    /// Runs a statement that grants or disables the name of the values, and returns the token of
    /// that name, if it has one, or what stood against it.
    fn decide(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> impl Future<Output = Result<Decision<Option<FencingToken>>>> + Send;

    /// Runs a statement that writes, and returns whether it changed anything.
    fn change(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Announces the instance of the values, and returns whether it is new.
    fn put_instance(&self, values: &Values<'_>) -> impl Future<Output = Result<bool>> + Send;

    /// Extends leases, with one result each in the same order.
    fn extend(
        &self,
        leases: &[&RenewOptions],
    ) -> impl Future<Output = Result<Vec<Result<RenewOutcome>>>> + Send;

    /// Removes the rows that are still as they were found, and returns their names in order. The
    /// age is in microseconds.
    fn remove(
        &self,
        found: Vec<PruneCandidate>,
        age: i64,
    ) -> impl Future<Output = Result<Vec<LockName>>> + Send;

    /// Reports changes until they can no longer be watched, or the pool is closed.
    fn watch(&self, hints: &Hints) -> impl Future<Output = Result<()>> + Send;

    /// Notes that a caller asks about the name.
    fn on_ask(&self, name: &LockName) {
        let _ = name;
    }

    /// Notes the decision about an attempt.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the record contradicts itself.
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
    fn on_release(&self, lease: LeaseId, outcome: ReleaseOutcome) {
        let _ = (lease, outcome);
    }
}
