//! The statements that the store sends, each on a connection that is returned clean or not at all.

use std::fmt;

use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgRow};
use sqlx::query::Query;

use super::listen_state::ListenState;
use super::polled_names::PolledNames;
use super::sql::Sql;
use crate::sql::CorruptRecord;
use crate::sql::pool::{Connections, Purpose};
use crate::{Error, Result};

/// A statement with its arguments.
pub(super) type Statement<'q> = Query<'q, sqlx::Postgres, PgArguments>;

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

    /// Runs a statement that writes, and returns its rows once it is committed.
    pub(super) async fn write<'q>(
        &self,
        purpose: Purpose,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<Vec<PgRow>> {
        let statement = &statement;
        let work =
            || async move |connection: &mut PgConnection| statement().fetch_all(connection).await;
        self.connections.write(purpose, work).await
    }

    /// Runs a statement that changes nothing.
    pub(super) async fn select<'q>(
        &self,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<Vec<PgRow>> {
        let statement = &statement;
        let work =
            || async move |connection: &mut PgConnection| statement().fetch_all(connection).await;
        self.connections.read(Purpose::Read, work).await
    }

    pub(super) fn corrupt_row(&self, corrupt: CorruptRecord) -> Error {
        corrupt.into_error(&self.sql.table)
    }
}
