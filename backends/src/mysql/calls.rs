//! The statements that the store sends, each on a connection that is returned clean or not at all.

use std::fmt;
use std::time::Duration;

use sqlx::Connection;
use sqlx::mysql::{MySqlArguments, MySqlConnection, MySqlPool, MySqlQueryResult, MySqlRow};
use sqlx::query::Query;
use tokio::time::sleep;

use super::error_codes;
use super::release_notifications::ReleaseNotifications;
use super::sql::Sql;
use crate::common::CorruptRecord;
use crate::common::pool_call::{CallError, Connections};
use crate::common::server::Purpose;
use crate::{Clock, Error, LockName, Result, SystemClock};

/// A statement with its arguments.
pub(super) type Statement<'q> = Query<'q, sqlx::MySql, MySqlArguments>;

/// A statement that the server rolled back for the sake of another is repeated for this long.
const REPEAT_LIMIT: Duration = Duration::from_secs(5);

/// The backend of a [`MySqlStore`](super::MySqlStore).
pub struct MySql {
    pub(super) label: String,
    pub(super) pool: MySqlPool,
    pub(super) connections: Connections<sqlx::MySql>,
    pub(super) sql: Sql,
    pub(super) notifications: ReleaseNotifications,
}

impl fmt::Debug for MySql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySql")
            .field("label", &self.label)
            .field("table", &self.sql.table)
            .finish_non_exhaustive()
    }
}

impl MySql {
    /// Runs a statement that writes, and gives the number in its answer once it is committed.
    pub(super) async fn write<'q>(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<u64> {
        self.execute(purpose, statement).await.map(|done| done.last_insert_id())
    }

    /// Runs a statement that writes, and returns the server's result.
    pub(super) async fn execute<'q>(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<MySqlQueryResult> {
        let give_up = SystemClock.now() + REPEAT_LIMIT;
        let mut round = 1;
        loop {
            match self.try_execute(purpose, &statement).await {
                Err(error) if error_codes::is_conflict(&error) && SystemClock.now() < give_up => {
                    round += 1;
                    pause(round).await;
                }
                done => return done.map_err(error_codes::writing),
            }
        }
    }

    /// Runs a statement that changes nothing.
    pub(super) async fn select<'q>(
        &self,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<Vec<MySqlRow>> {
        self.read_for(Purpose::Read, statement).await
    }

    /// Runs a statement that changes nothing, as part of a call with that purpose.
    pub(super) async fn read_for<'q>(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<Vec<MySqlRow>> {
        let statement = &statement;
        let work = || {
            async move |connection: &mut MySqlConnection| match statement()
                .fetch_all(&mut *connection)
                .await
            {
                Err(error) if error_codes::is_stale_statement(&error) => {
                    connection.clear_cached_statements().await?;
                    statement().fetch_all(connection).await
                }
                done => done,
            }
        };
        self.connections.call(purpose, work).await.map_err(error_codes::reading)
    }

    async fn try_execute<'q>(
        &self,
        purpose: Purpose,
        statement: &impl Fn() -> Statement<'q>,
    ) -> Result<MySqlQueryResult, CallError> {
        let work = || {
            async move |connection: &mut MySqlConnection| match statement()
                .execute(&mut *connection)
                .await
            {
                Err(error) if error_codes::is_stale_statement(&error) => {
                    connection.clear_cached_statements().await?;
                    statement().execute(connection).await
                }
                done => done,
            }
        };
        self.connections.call(purpose, work).await
    }

    /// Reads the row of a name.
    pub(super) async fn find(&self, purpose: Purpose, name: &LockName) -> Result<Option<MySqlRow>> {
        let statement = || sqlx::query(self.sql.find.clone()).bind(name.as_str().as_bytes());
        Ok(self.read_for(purpose, statement).await?.pop())
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
