//! The statements that the store sends, each on a connection that is returned clean or not at all.

use std::fmt;

use sqlx::mysql::{MySqlArguments, MySqlConnection, MySqlPool, MySqlQueryResult, MySqlRow};
use sqlx::query::Query;

use super::release_notifications::ReleaseNotifications;
use super::sql::Sql;
use crate::sql::CorruptRecord;
use crate::sql::pool::Connections;
use crate::sql::purpose::Purpose;
use crate::sql::statement::{Statement, Value, Values};
use crate::{Error, Result};

/// A statement with its arguments.
type BoundStatement<'q> = Query<'q, sqlx::MySql, MySqlArguments>;

/// Binds the values of a statement, for one sending. Names and text are bound as bytes.
///
/// Each sending has a number of its own: a later one must not take an earlier one, whose answer was
/// lost, for its own and grant the name again.
pub(super) fn bind(statement: &Statement, values: &Values<'_>) -> BoundStatement<'static> {
    let query: BoundStatement<'static> = sqlx::query(statement.sql.clone());
    values.of(statement).fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text.map(str::as_bytes)),
        Value::Name(name) => query.bind(name.unwrap_or_default()),
        Value::Integer(number) => query.bind(number),
    })
}

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
            .field("table", &self.sql.statements.table)
            .finish_non_exhaustive()
    }
}

impl MySql {
    /// Runs a statement that writes, and returns the number in its answer once it is committed.
    pub(super) async fn write<'q>(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> BoundStatement<'q>,
    ) -> Result<u64> {
        self.execute(purpose, statement).await.map(|done| done.last_insert_id())
    }

    /// Runs a statement that writes, and returns the server's result.
    pub(super) async fn execute<'q>(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> BoundStatement<'q>,
    ) -> Result<MySqlQueryResult> {
        let statement = &statement;
        let work =
            || async move |connection: &mut MySqlConnection| statement().execute(connection).await;
        self.connections.write(purpose, work).await
    }

    /// Runs a statement that changes nothing, as part of a call with that purpose.
    pub(super) async fn read<'q>(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> BoundStatement<'q>,
    ) -> Result<Vec<MySqlRow>> {
        let statement = &statement;
        let work = || {
            async move |connection: &mut MySqlConnection| statement().fetch_all(connection).await
        };
        self.connections.read(purpose, work).await
    }

    pub(super) fn corrupt_row(&self, corrupt: CorruptRecord) -> Error {
        corrupt.into_error(&self.sql.statements.table)
    }
}
