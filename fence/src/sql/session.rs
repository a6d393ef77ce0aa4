//! A driver implements a session for its connection; everything else is the same for all drivers.

use std::future::ready;
use std::time::Duration;

use super::failure::Failure;
use super::statement::{Database, Statement};
use super::values::Values;

/// A session is a connection of a driver.
///
/// The futures of a driver whose calls block are ready when they are first polled.
pub(crate) trait Session {
    /// The session is connected to this database.
    const DATABASE: Database;

    /// Waits until a transaction that was dropped has been rolled back, if the driver counts it as
    /// open until then.
    fn finish_rollback(&mut self) -> impl Future<Output = Result<(), Failure>> + Send {
        ready(Ok(()))
    }

    /// Returns whether the connection is within a transaction, as far as the driver knows.
    fn in_transaction(&mut self) -> bool;

    /// Returns whether the transaction has a savepoint, if the driver shows it.
    fn in_savepoint(&mut self) -> bool {
        false
    }

    /// Runs a script of one or more commands, whose answers do not matter.
    fn run_script(&mut self, script: &str) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Runs a statement, and returns the number in the first column of its first row.
    fn number(
        &mut self,
        statement: &Statement,
        values: Values<'_>,
    ) -> impl Future<Output = Result<Option<i64>, Failure>> + Send;

    /// Runs a query, and returns the text in the first column of each row.
    fn texts(
        &mut self,
        statement: &Statement,
        values: Values<'_>,
    ) -> impl Future<Output = Result<Vec<String>, Failure>> + Send;

    /// Runs the first script, if there is one, the statements and the last script in a transaction
    /// of their own, and commits it. Returns the number that the last statement returned.
    fn transact(
        &mut self,
        first: Option<&str>,
        statements: &[Statement],
        values: Values<'_>,
        last: Option<&str>,
    ) -> impl Future<Output = Result<Option<i64>, Failure>> + Send;

    /// Waits for that time.
    fn pause(&mut self, time: Duration) -> impl Future<Output = ()> + Send;
}
