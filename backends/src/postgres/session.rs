//! A store opens these sessions itself; this module says what an error means for one.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgQueryResult, Postgres};

use super::error_codes;
use crate::sql::pool::{Health, Server};

/// A session has these settings, in milliseconds. A statement that waits longer for a lock would
/// outlast its call; the second setting lets a waiting server notice that its client is gone (since
/// 14).
///
/// They are part of the startup message and never set by a statement, which behind a pooler would
/// set them for other clients. A pooler or an older server refuses or ignores them.
const SETTINGS: [(&str, &str); 2] =
    [("lock_timeout", "8000"), ("client_connection_check_interval", "2000")];

/// This many of the settings are sent; the number decreases when a server refuses them, and accepts
/// the session without them.
pub(crate) struct SessionSettings {
    settings: AtomicUsize,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { settings: AtomicUsize::new(SETTINGS.len()) }
    }
}

impl Server for Postgres {
    type Session = SessionSettings;

    async fn open(
        options: &PgConnectOptions,
        session: &Self::Session,
    ) -> sqlx::Result<PgConnection> {
        let most = session.settings.load(Ordering::Relaxed);
        let mut count = most;
        let mut is_refusal = true;
        loop {
            let sent = SETTINGS.iter().take(count).filter(|(name, _)| !names(options, name));
            let sent: Vec<_> = sent.copied().collect();
            // Older poolers refuse even an empty list.
            let attempt = match &sent[..] {
                [] => connect(options).await,
                sent => connect(&options.clone().options(sent.iter().copied())).await,
            };
            match attempt {
                Err(error) if !sent.is_empty() && may_be_about_settings(&error) => {
                    tracing::debug!(%error, "connecting without a session setting");
                    is_refusal &= mentions_setting(&error);
                    count -= 1;
                }
                Ok(connection) => {
                    if count < most && is_refusal {
                        session.settings.fetch_min(count, Ordering::Relaxed);
                    }
                    return Ok(connection);
                }
                failed => return failed,
            }
        }
    }

    fn did_work(result: &PgQueryResult) -> bool {
        result.rows_affected() > 0
    }

    fn health(error: &sqlx::Error) -> Health {
        let Some(code) = error_codes::code(error) else { return Health::Unusable };
        match code.as_str() {
            // Read-only; shutting down, crashed, starting or dropped; idle for too long.
            "25006" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => Health::AllUnusable,
            // A transaction that another client left open, or that ended the session.
            "25P02" | "25P03" | "25P04" | "40003" => Health::Unusable,
            // The connection, the server's files and memory, the server's own faults.
            code if ["08", "58", "XX"].iter().any(|class| code.starts_with(class)) => {
                Health::Unusable
            }
            _ => Health::Usable,
        }
    }

    fn lacks_privilege(error: &sqlx::Error) -> bool {
        error_codes::code(error)
            .is_some_and(|code| matches!(code.as_str(), "42501" | "42P01" | "3F000"))
    }

    fn is_read_only(error: &sqlx::Error) -> bool {
        error_codes::code(error).is_some_and(|code| code == "25006")
    }
}

/// Returns whether the application sets the setting itself.
fn names(options: &PgConnectOptions, setting: &str) -> bool {
    let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    options.get_options().is_some_and(|options| options.split(word).any(|name| name == setting))
}

/// Returns whether the server may have refused the session because of a setting, as poolers
/// (08P01), older servers (42704) and systems other than Linux (22023) do.
fn may_be_about_settings(error: &sqlx::Error) -> bool {
    let classes = ["08", "0A", "22", "42", "58", "XX"];
    error_codes::code(error).is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
}

/// Returns whether the error is about the settings. Others of the same classes pass, and must not
/// turn a setting off for good.
fn mentions_setting(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let message = error.message();
    let names = SETTINGS.iter().map(|(name, _)| *name);
    names.chain(["startup parameter", "options"]).any(|word| message.contains(word))
}

/// Connects. What answers there may not be a PostgreSQL server.
async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    // sqlx panics on some messages that no PostgreSQL server sends.
    AssertUnwindSafe(options.connect())
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Protocol("an invalid protocol message".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_setting_of_the_same_name_counts_as_set_by_the_application() {
        let options = PgConnectOptions::new_without_pgpass();
        for (text, named) in [
            ("lock_timeout", true),
            ("deadlock_timeout", false),
            ("lock_timeout_of_ours", false),
            ("statement_timeout", false),
        ] {
            let options = options.clone().options([(text, "5s")]);
            assert_eq!(names(&options, "lock_timeout"), named, "{text}");
        }
        assert!(!names(&options, "lock_timeout"));
    }
}
