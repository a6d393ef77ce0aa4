//! The statements that the store sends, each on a connection that is returned clean or not at all.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgRow};
use sqlx::query::Query;
use tokio::time::sleep;

use super::error_codes;
use super::listen_state::ListenState;
use super::polled_names::PolledNames;
use super::sql::Sql;
use crate::common::CorruptRecord;
use crate::common::pool_call::{CallError, Connections};
use crate::common::server::Purpose;
use crate::{Clock, Error, Result, SystemClock};

/// A statement with its arguments.
pub(super) type Statement<'q> = Query<'q, sqlx::Postgres, PgArguments>;

/// A statement that the server rolled back for the sake of another is repeated for this long.
const REPEAT_LIMIT: Duration = Duration::from_secs(5);

/// The backend of a [`PostgresStore`](super::PostgresStore).
pub struct Postgres {
    pub(super) label: String,
    pub(super) pool: PgPool,
    pub(super) connections: Connections<sqlx::Postgres>,
    pub(super) sql: Sql,
    /// The names to poll if notifications do not arrive.
    pub(super) polled_names: PolledNames,
    pub(super) listen_state: ListenState,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("label", &self.label)
            .field("table", &self.sql.table)
            .finish_non_exhaustive()
    }
}

impl Postgres {
    pub(super) fn new(
        label: String,
        pool: PgPool,
        connections: Connections<sqlx::Postgres>,
        sql: Sql,
    ) -> Self {
        let (polled_names, listen_state) = (PolledNames::default(), ListenState::default());
        Self { label, pool, connections, sql, polled_names, listen_state }
    }

    /// Runs a statement that writes, and gives its rows once it is committed.
    pub(super) async fn write<'q>(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<Vec<PgRow>> {
        let give_up = SystemClock.now() + REPEAT_LIMIT;
        let mut round = 1;
        loop {
            match self.call(purpose, &statement).await {
                Err(error) if error_codes::is_conflict(&error) && SystemClock.now() < give_up => {
                    round += 1;
                    pause(round).await;
                }
                Err(error) => return Err(error_codes::writing(error)),
                Ok(rows) => return Ok(rows),
            }
        }
    }

    /// Runs a statement that changes nothing.
    pub(super) async fn select<'q>(
        &self,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<Vec<PgRow>> {
        self.call(Purpose::Read, &statement).await.map_err(error_codes::reading)
    }

    async fn call<'q>(
        &self,
        purpose: Purpose,
        statement: &impl Fn() -> Statement<'q>,
    ) -> Result<Vec<PgRow>, CallError> {
        let work = || {
            async move |connection: &mut PgConnection| match statement()
                .fetch_all(&mut *connection)
                .await
            {
                Err(error) if error_codes::is_stale_statement(&error) => {
                    use sqlx::Connection;
                    connection.clear_cached_statements().await?;
                    statement().fetch_all(connection).await
                }
                done => done,
            }
        };
        self.connections.call(purpose, work).await
    }

    pub(super) fn corrupt_row(&self, corrupt: CorruptRecord) -> Error {
        corrupt.into_error(&self.sql.table)
    }
}

/// Not at all at first; then longer, and never in step with others.
async fn pause(round: u32) {
    if round > 1 {
        let most = 1 << round.min(6);
        sleep(Duration::from_millis(fastrand::u64(0..=most))).await;
    }
}
