//! The store sends these statements, each on a connection that is returned clean or not at all.

use std::fmt;

use sqlx::mysql::MySqlPool;

use super::release_notifications::ReleaseNotifications;
use super::sql::Sql;
use crate::shell::RecentRefusals;
use crate::sql::CorruptRecord;
use crate::sql::pool::{BoundStatement, Connections};
use crate::sql::purpose::Purpose;
use crate::sql::released_names::ReleasedNames;
use crate::sql::statement::{Statement, Value, Values};
use crate::{Error, Result};

/// Binds the values of a statement, for one sending. Names and text are bound as bytes.
///
/// Each sending has a number of its own: a later one must not take an earlier one, whose answer was
/// lost, for its own and grant the name again.
pub(super) fn bind(statement: &Statement, values: &Values<'_>) -> BoundStatement<sqlx::MySql> {
    let query: BoundStatement<sqlx::MySql> = sqlx::query(statement.sql.clone());
    values.of(statement).fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text.map(str::as_bytes)),
        Value::Name(name) => query.bind(name.unwrap_or_default()),
        Value::Integer(number) => query.bind(number),
    })
}

/// This is the backend of a [`MySqlStore`](super::MySqlStore).
pub struct MySql {
    pub(super) label: String,
    pub(super) pool: MySqlPool,
    pub(super) connections: Connections<sqlx::MySql>,
    pub(super) sql: Sql,
    pub(super) notifications: ReleaseNotifications,
    pub(super) released_names: ReleasedNames,
    /// Attempts to enter the queues of these names had to wait, or were refused for that.
    pub(super) refusals: RecentRefusals,
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
    pub(super) async fn write(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> BoundStatement<sqlx::MySql>,
    ) -> Result<u64> {
        self.connections.execute(purpose, statement).await.map(|done| done.last_insert_id())
    }

    pub(super) fn corrupt_row(&self, corrupt: CorruptRecord) -> Error {
        corrupt.into_error(&self.sql.statements.table)
    }
}
