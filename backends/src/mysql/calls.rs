//! The statements that the store sends, each on a connection that is returned clean or not at all.

use std::fmt;

use sqlx::mysql::{MySqlArguments, MySqlConnection, MySqlPool, MySqlQueryResult, MySqlRow};
use sqlx::query::Query;

use super::release_notifications::ReleaseNotifications;
use super::sql::Sql;
use crate::sql::CorruptRecord;
use crate::sql::pool::{Connections, Purpose};
use crate::{Error, LockName, Result};

/// A statement with its arguments.
pub(super) type Statement<'q> = Query<'q, sqlx::MySql, MySqlArguments>;

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
    /// Runs a statement that writes, and returns the number in its answer once it is committed.
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
        let statement = &statement;
        let work =
            || async move |connection: &mut MySqlConnection| statement().execute(connection).await;
        self.connections.write(purpose, work).await
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
            async move |connection: &mut MySqlConnection| statement().fetch_all(connection).await
        };
        self.connections.read(purpose, work).await
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
