//! The sessions that a store opens itself, and what an error means for one.

use sqlx::Executor;
use sqlx::mysql::{MySql, MySqlConnectOptions, MySqlConnection};

use super::{bell, error};
use crate::common::server::{Health, Server};

/// Without these limits, a statement that waits for a row or a table could outlast its call.
const SETTINGS: &str = "SET autocommit = 1, innodb_lock_wait_timeout = 8, lock_wait_timeout = 8";

/// The settings with which a store opens its sessions.
#[derive(Default)]
pub(crate) struct Session {
    /// The database of the tables, if the options may not name it.
    pub(super) database: Option<String>,
}

impl Server for MySql {
    type Session = Session;

    async fn open(
        options: &MySqlConnectOptions,
        session: &Self::Session,
    ) -> sqlx::Result<MySqlConnection> {
        let mut connection = match &session.database {
            Some(database) => bell::connect(&options.clone().database(database)).await?,
            None => bell::connect(options).await?,
        };
        limit_waits(&mut connection).await?;
        Ok(connection)
    }

    fn health(error: &sqlx::Error) -> Health {
        let Some(number) = error::number(error) else { return Health::Unusable };
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

    fn leaves_doubt(error: &sqlx::Error) -> bool {
        error::leaves_doubt(error)
    }

    fn lacks_access(error: &sqlx::Error) -> bool {
        error::number(error)
            .is_some_and(|number| matches!(number, 1044 | 1046 | 1142 | 1143 | 1146 | 1227))
    }
}

/// Limits how long the session's statements wait, if the server knows such limits.
pub(super) async fn limit_waits(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    match connection.execute(SETTINGS).await {
        Err(error) if error.as_database_error().is_some() => {
            tracing::debug!(%error, "cannot limit how long the session's statements wait");
            Ok(())
        }
        done => done.map(drop),
    }
}
