//! One call on a connection of a pool, given back clean or not at all.

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};
use tokio::time::timeout;

use super::limit::CALL_LIMIT;

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// There was no connection to ask on: nothing was sent.
    NotSent(sqlx::Error),
    /// The server refused, or the connection failed on the way.
    Failed(sqlx::Error),
    /// Nothing came back within [`CALL_LIMIT`].
    Unanswered,
}

/// Runs `work` on a connection of the pool.
///
/// A connection on which an answer is still awaited is closed, not given back: when the call is
/// dropped, times out or breaks off. Whoever got it next would wait for that answer, for as long as
/// a server hangs or a network swallows packets.
pub(crate) async fn call<DB: Database, T>(
    pool: &Pool<DB>,
    work: impl AsyncFnOnce(&mut DB::Connection) -> sqlx::Result<T>,
) -> Result<T, CallError> {
    let connection = match timeout(CALL_LIMIT, pool.acquire()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(CallError::NotSent(error)),
        Err(_) => return Err(CallError::NotSent(sqlx::Error::PoolTimedOut)),
    };
    let mut lent = Lent(Some(connection));
    let Some(connection) = lent.0.as_deref_mut() else {
        return Err(CallError::NotSent(sqlx::Error::PoolClosed));
    };
    match timeout(CALL_LIMIT, work(connection)).await {
        Ok(Ok(value)) => {
            lent.give_back();
            Ok(value)
        }
        Ok(Err(error)) => {
            if error.as_database_error().is_some() {
                lent.give_back();
            }
            Err(CallError::Failed(error))
        }
        Err(_) => Err(CallError::Unanswered),
    }
}

/// A connection that is closed when it is dropped, unless it was given back.
struct Lent<DB: Database>(Option<PoolConnection<DB>>);

impl<DB: Database> Lent<DB> {
    fn give_back(&mut self) {
        drop(self.0.take());
    }
}

impl<DB: Database> Drop for Lent<DB> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            // Without a farewell, which could hang; the socket closes with the value.
            drop(connection.detach());
        }
    }
}
