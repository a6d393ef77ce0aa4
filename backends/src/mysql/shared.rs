//! What the clones of a store share, and its ways to run a statement.

use std::time::Duration;

use sqlx::Connection;
use sqlx::mysql::{MySql, MySqlArguments, MySqlConnection, MySqlPool, MySqlQueryResult, MySqlRow};
use sqlx::query::Query;
use tokio::time::sleep;

use super::error;
use super::release_notifications::ReleaseNotifications;
use super::row;
use super::sql::Sql;
use crate::common::CorruptRecord;
use crate::common::pool_call::{CallError, Connections};
use crate::common::server::Purpose;
use crate::{Clock, Error, ErrorKind, LockName, LockRecord, Result, SystemClock};

/// A statement with its arguments.
pub(super) type Statement<'q> = Query<'q, MySql, MySqlArguments>;

/// A statement that the server rolled back for the sake of another is repeated for this long.
const REPEAT_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct MySqlInner {
    pub(super) label: String,
    pub(super) pool: MySqlPool,
    pub(super) connections: Connections<MySql>,
    pub(super) sql: Sql,
    pub(super) notifications: ReleaseNotifications,
}

impl MySqlInner {
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
        for round in 1.. {
            match self.try_execute(purpose, &statement).await {
                Err(error) if error::is_conflict(&error) && SystemClock.now() < give_up => {
                    pause(round).await;
                }
                done => return done.map_err(error::writing),
            }
        }
        Err(self.too_contended())
    }

    /// Runs a statement that changes nothing.
    pub(super) async fn read<'q>(
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
                Err(error) if error::is_stale_statement(&error) => {
                    connection.clear_cached_statements().await?;
                    statement().fetch_all(connection).await
                }
                done => done,
            }
        };
        self.connections.call(purpose, work).await.map_err(error::reading)
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
                Err(error) if error::is_stale_statement(&error) => {
                    connection.clear_cached_statements().await?;
                    statement().execute(connection).await
                }
                done => done,
            }
        };
        self.connections.call(purpose, work).await
    }

    /// What is known of a name.
    pub(super) async fn find(
        &self,
        purpose: Purpose,
        name: &LockName,
    ) -> Result<Option<LockRecord>> {
        let statement = || sqlx::query(self.sql.find.clone()).bind(name.as_str().as_bytes());
        let Some(row) = self.read_for(purpose, statement).await?.pop() else { return Ok(None) };
        row::record(&row, &self.sql.table).map(Some)
    }

    /// Like [`find`](Self::find), but a damaged row is a record that says so.
    pub(super) async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let statement = || sqlx::query(self.sql.find.clone()).bind(name.as_str().as_bytes());
        let Some(row) = self.read(statement).await?.pop() else { return Ok(None) };
        let record = row::record(&row, &self.sql.table);
        Ok(Some(record.unwrap_or_else(|error| LockRecord::unreadable(name.clone(), &error))))
    }

    pub(super) fn corrupt_row(&self, corrupt: CorruptRecord) -> Error {
        corrupt.into_error(&self.sql.table)
    }

    /// The row changed between a look at it and the write, each time.
    pub(super) fn too_contended(&self) -> Error {
        Error::new(ErrorKind::Unavailable, "the row changed whenever it was looked at")
            .with_fix("do too many clients want this lock at once?")
    }

    /// Completes an error with what it was about.
    pub(super) fn with_context(
        &self,
        operation: &'static str,
        name: Option<&LockName>,
    ) -> impl Fn(Error) -> Error {
        crate::common::with_context(operation, &self.label, name)
    }
}

/// Not at all at first; then longer, and never in step with others.
pub(super) async fn pause(round: u32) {
    if round > 1 {
        let most = 1 << round.min(6);
        sleep(Duration::from_millis(fastrand::u64(0..=most))).await;
    }
}
