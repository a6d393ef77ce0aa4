//! Processes write to a ledger on each datastore, in transactions that check the fence.

mod etcd;
mod mongodb;
mod redis;
mod sql;

use std::error::Error as StdError;
use std::time::Duration;

use leasehold_core::{Error as CoreError, ErrorKind};
use leasehold_fence::{Error, Namespace, Result, Term};

pub(crate) use self::etcd::Etcd;
pub(crate) use self::mongodb::MongoDb;
pub(crate) use self::redis::Redis;
pub(crate) use self::sql::{MySql, Postgres, Sqlite};

/// A slow statement takes about this long.
const SLOW: Duration = Duration::from_millis(100);

/// This is the data of an application, with the fence that protects it.
pub(crate) trait Data: Sized {
    /// Connects, and creates what is missing.
    async fn open(url: &str, namespace: &Namespace) -> Result<Self, String>;

    /// Raises the fence.
    async fn raise(&mut self, term: &Term, limit: Duration) -> Result<()>;

    /// Ends all open transactions, as an operator would after a process was killed, where the server
    /// does not end them with their connection.
    async fn end_transactions(&mut self) {}

    /// Checks the fence and then writes an entry, in one transaction.
    async fn write(&mut self, term: &Term, entry: &Entry) -> Result<()>;

    /// Returns how many entries of that term the ledger has.
    async fn entries(&mut self, term: u64) -> u64;

    /// Removes the ledger and the fence, after terms up to that one.
    async fn remove(self, last: u64);
}

/// This is an entry of the ledger, and how it is written.
#[derive(Debug)]
pub(crate) struct Entry {
    /// No other entry has this number.
    pub(crate) sequence: i64,
    /// The writer pauses between the check and the write.
    pub(crate) pause: Duration,
    /// The transaction has a statement that takes long.
    pub(crate) slow: bool,
}

/// Describes an error of the application's own calls.
fn failed(cause: impl StdError + Send + Sync + 'static) -> Error {
    CoreError::new(ErrorKind::Unavailable, format!("the application's own call failed: {cause}"))
        .into()
}

/// Describes a transaction that was discarded and must be repeated.
fn discarded() -> Error {
    Error::Conflict(CoreError::new(ErrorKind::Unavailable, "the transaction was discarded"))
}
