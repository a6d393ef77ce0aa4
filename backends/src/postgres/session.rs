//! The sessions that a store opens itself, and what an error means for one.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, Postgres};

use super::error;
use crate::common::server::{Health, Server};

/// Settings of a session, in milliseconds. A statement that waits longer for a lock would outlast
/// its call; the second setting lets a waiting server notice that its client is gone (since 14).
///
/// They are part of the startup message and never set by a statement, which behind a pooler would
/// set them for other clients. A pooler or an older server refuses or ignores them.
const SETTINGS: [(&str, &str); 2] =
    [("lock_timeout", "8000"), ("client_connection_check_interval", "2000")];

/// How many of the settings are sent; the number decreases when a server refuses them.
pub(crate) struct Session {
    settings: AtomicUsize,
}

impl Default for Session {
    fn default() -> Self {
        Self { settings: AtomicUsize::new(SETTINGS.len()) }
    }
}

impl Server for Postgres {
    type Session = Session;

    async fn open(
        options: &PgConnectOptions,
        session: &Self::Session,
    ) -> sqlx::Result<PgConnection> {
        loop {
            let count = session.settings.load(Ordering::Relaxed);
            let sent = SETTINGS.iter().take(count).filter(|(name, _)| !names(options, name));
            match connect(&options.clone().options(sent.copied())).await {
                Err(refused) if count > 0 && may_be_of_settings(&refused) => {
                    tracing::debug!(%refused, "connecting without a session setting");
                    _ = session.settings.compare_exchange(
                        count,
                        count - 1,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                }
                opened => return opened,
            }
        }
    }

    fn health(error: &sqlx::Error) -> Health {
        let Some(code) = error::code(error) else { return Health::Unusable };
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

    fn leaves_doubt(error: &sqlx::Error) -> bool {
        error::leaves_doubt(error)
    }

    fn lacks_access(error: &sqlx::Error) -> bool {
        error::code(error).is_some_and(|code| matches!(code.as_str(), "42501" | "42P01" | "3F000"))
    }
}

/// Returns whether the application sets the setting itself.
fn names(options: &PgConnectOptions, setting: &str) -> bool {
    options.get_options().is_some_and(|options| options.contains(setting))
}

/// Returns whether the server may have refused the session because of a setting, as poolers
/// (08P01), older servers (42704) and systems other than Linux (22023) do.
fn may_be_of_settings(error: &sqlx::Error) -> bool {
    let classes = ["08", "0A", "22", "42", "58", "XX"];
    error::code(error).is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
}

/// Connects. What answers there may not be a PostgreSQL server.
pub(super) async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    // sqlx panics on some messages that no PostgreSQL server sends.
    AssertUnwindSafe(options.connect()).catch_unwind().await.unwrap_or_else(|_| {
        Err(sqlx::Error::Protocol("a message that no PostgreSQL server sends".into()))
    })
}
