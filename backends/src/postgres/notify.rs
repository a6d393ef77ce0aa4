//! Statements that send a hint, and that must not fail because of the hint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::error_codes;
use crate::Result;

/// A statement in two forms: with its hint, and without.
///
/// A notification is sent within the statement's transaction and can make its commit fail when the
/// server's queue is full. Any session that listens and stays in a transaction can cause that.
#[derive(Clone)]
pub(super) struct NotifyingStatements {
    with_notify: SqlStr,
    without_notify: SqlStr,
    /// This is true once the current failure was logged.
    warned: Arc<AtomicBool>,
}

impl NotifyingStatements {
    /// Creates both forms from the text of a statement; `text` receives the expression for the
    /// column `notified` of the row `l`.
    pub(super) fn new(channel: &str, text: impl Fn(&str) -> String) -> Self {
        let statement = |notified: &str| AssertSqlSafe(text(notified)).into_sql_str();
        Self {
            with_notify: statement(&format!("pg_notify('{channel}', l.name)::text AS notified")),
            without_notify: statement("NULL::text AS notified"),
            warned: Arc::default(),
        }
    }

    /// Runs the statement. If the server refuses the hint, and so has done nothing, runs it
    /// without.
    pub(super) async fn run<T, F>(&self, call: impl Fn(SqlStr) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        match call(self.with_notify.clone()).await {
            Err(refusal) if error_codes::refuses_hint(&refusal) => {
                let done = call(self.without_notify.clone()).await?;
                if !self.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        why = %refusal,
                        "the server refuses NOTIFY; waiters poll"
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
