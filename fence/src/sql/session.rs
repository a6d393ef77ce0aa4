//! What a driver does with its connection; everything else is the same for all drivers.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::failure::Failure;
use super::statement::{Database, Statement, Values};

/// A session is a connection of a driver.
///
/// The futures of a driver that blocks are ready at once, see [`run`].
pub(crate) trait Session {
    /// The database that it is connected to.
    const DATABASE: Database;

    /// Returns whether the connection is within a transaction.
    fn in_transaction(&mut self) -> bool;

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

    /// Runs the script, if there is one, and then the statements in a transaction of their own, and
    /// commits it. Returns the number that the last statement returned.
    fn transact(
        &mut self,
        script: Option<&str>,
        statements: &[Statement],
        values: Values<'_>,
    ) -> impl Future<Output = Result<Option<i64>, Failure>> + Send;
}

/// Runs a future of a driver that blocks, which is ready at once.
#[allow(dead_code, reason = "only drivers that block need it")]
pub(crate) fn run<T, E>(future: impl Future<Output = Result<T, E>>) -> Result<T, E>
where
    E: From<leasehold_core::Error>,
{
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => {
            let message = "a driver that blocks has not finished its call";
            Err(leasehold_core::Error::new(leasehold_core::ErrorKind::Unsupported, message).into())
        }
    }
}
