//! Statements that send a hint, which must not fail for the hint's sake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::error;
use crate::Result;

/// A statement in two forms: with its hint, and without.
///
/// Sent within the statement's transaction, a notification can undo it: at commit when the server's
/// queue is full, which any session can cause that listens and stays in a transaction.
#[derive(Clone)]
pub(super) struct Hinting {
    loud: SqlStr,
    silent: SqlStr,
    /// Whether the present trouble was logged.
    warned: Arc<AtomicBool>,
}

impl Hinting {
    /// From the text of a statement, given what it returns as the column `notified` of the row `l`.
    pub(super) fn new(channel: &str, text: impl Fn(&str) -> String) -> Self {
        let statement = |notified: &str| AssertSqlSafe(text(notified)).into_sql_str();
        Self {
            loud: statement(&format!("pg_notify('{channel}', l.name)::text AS notified")),
            silent: statement("NULL::text AS notified"),
            warned: Arc::default(),
        }
    }

    /// Runs the statement; without the hint where the server refuses that, having done nothing.
    pub(super) async fn run<T, F>(&self, call: impl Fn(SqlStr) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        match call(self.loud.clone()).await {
            Err(refusal) if error::refuses_hint(&refusal) => {
                let done = call(self.silent.clone()).await?;
                if !self.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        why = %refusal,
                        "the server takes no notifications: waiters are not woken, and ask at \
                         their poll interval"
                    );
                }
                Ok(done)
            }
            Ok(done) => {
                self.warned.store(false, Ordering::Relaxed);
                Ok(done)
            }
            Err(error) => Err(error),
        }
    }
}
