//! A store opens these sessions itself; this module says what an error means for one.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use sqlx::mysql::{MySql, MySqlConnectOptions, MySqlConnection, MySqlQueryResult};
use sqlx::{ConnectOptions, Executor};

use super::error_codes;
use crate::sql::pool::{Health, Server};

/// Without these limits, a statement that waits for a row or a table could outlast its call.
///
/// The limit for rows is short. A statement whose client has given up still takes its turn at the row,
/// and if many wait for one row, those of clients that have given up would delay the others until
/// those give up too. A statement that fails at this limit is sent again, after those that wait then.
///
/// MariaDB cuts the entries of a queue at the last setting.
const SETTINGS: &str = "SET autocommit = 1, innodb_lock_wait_timeout = 2, lock_wait_timeout = 8, \
     group_concat_max_len = 16777216";

/// A store opens its sessions with these settings.
pub(crate) struct SessionSettings {
    /// The tables are in this database, which the options may not name.
    database: String,
    /// This is true once it was logged that the server refuses the limits.
    warned: AtomicBool,
}

impl SessionSettings {
    pub(super) fn new(database: &str) -> Self {
        Self { database: database.to_owned(), warned: AtomicBool::new(false) }
    }

    /// Limits how long the session's statements wait, if the server knows such limits.
    pub(super) async fn limit_waits(&self, connection: &mut MySqlConnection) -> sqlx::Result<()> {
        match connection.execute(SETTINGS).await {
            Err(error) if error.as_database_error().is_some() => {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        %error,
                        "the server does not limit how long the session's statements wait"
                    );
                }
                Ok(())
            }
            done => done.map(drop),
        }
    }
}

/// Connects to what may not be a MySQL server.
pub(super) async fn connect(options: &MySqlConnectOptions) -> sqlx::Result<MySqlConnection> {
    // sqlx panics at some messages that no MySQL server sends.
    AssertUnwindSafe(options.connect())
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Protocol("an invalid protocol message".into())))
}

impl Server for MySql {
    type Session = SessionSettings;

    async fn open(
        options: &MySqlConnectOptions,
        session: &Self::Session,
    ) -> sqlx::Result<MySqlConnection> {
        let options = options.clone().database(&session.database);
        let mut connection = connect(&options).await?;
        session.limit_waits(&mut connection).await?;
        Ok(connection)
    }

    /// The count of affected rows depends on flags of the connection, so the statements put a number
    /// into their answers.
    fn did_work(result: &MySqlQueryResult) -> bool {
        result.last_insert_id() > 0
    }

    fn health(error: &sqlx::Error) -> Health {
        let Some(number) = error_codes::number(error) else { return Health::Unusable };
        match number {
            // Read-only; shutting down or offline; not part of its cluster; idle for too long.
            1290 | 1792 | 1836 | 3170 | 1053 | 1077..=1080 | 3032 | 3168 | 1047 | 3100 | 4031 => {
                Health::AllUnusable
            }
            // Killed, aborted, an expired password, failures of the network or the storage, and
            // errors of proxies.
            1317
            | 1927
            | 3169
            | 1152..=1161
            | 1184
            | 1820
            | 1030
            | 1180
            | 2000..=2999
            | 9000..=9999 => Health::Unusable,
            _ => Health::Usable,
        }
    }

    fn lacks_privilege(error: &sqlx::Error) -> bool {
        error_codes::number(error)
            .is_some_and(|number| matches!(number, 1044 | 1046 | 1142 | 1143 | 1146 | 1227))
    }

    fn is_read_only(error: &sqlx::Error) -> bool {
        error_codes::number(error) == Some(1792)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sql::pool::CONFLICT_LIMIT;

    #[test]
    fn a_statement_that_has_waited_too_long_for_a_row_is_sent_again() {
        let (_, limit) = SETTINGS.split_once("innodb_lock_wait_timeout = ").unwrap();
        let seconds = limit.split(',').next().unwrap().parse().unwrap();
        assert!(Duration::from_secs(seconds) * 2 < CONFLICT_LIMIT);
    }
}
