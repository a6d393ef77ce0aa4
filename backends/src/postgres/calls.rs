//! The store sends these statements, each on a connection that is returned clean or not at all.

use std::fmt;
use std::sync::atomic::Ordering;

use sqlx::SqlStr;
use sqlx::postgres::{PgPool, PgRow};

use super::error_codes;
use super::listen_state::ListenState;
use super::polled_names::PolledNames;
use super::sql::Sql;
use crate::sql::CorruptRecord;
use crate::sql::pool::{BoundStatement, Connections};
use crate::sql::purpose::Purpose;
use crate::sql::released_names::ReleasedNames;
use crate::sql::statement::{Statement, Value, Values};
use crate::{Error, Result};

/// Binds the values of a statement to one of its forms.
fn bind(sql: SqlStr, statement: &Statement, values: &Values<'_>) -> BoundStatement<sqlx::Postgres> {
    let query: BoundStatement<sqlx::Postgres> = sqlx::query(sql);
    values.of(statement).fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text),
        Value::Name(name) => {
            query.bind(name.map(|name| String::from_utf8_lossy(name).into_owned()))
        }
        Value::Integer(number) => query.bind(number),
    })
}

/// This is the backend of a [`PostgresStore`](super::PostgresStore).
pub struct Postgres {
    pub(super) label: String,
    pub(super) pool: PgPool,
    pub(super) connections: Connections<sqlx::Postgres>,
    pub(super) sql: Sql,
    /// These names are polled if notifications do not arrive.
    pub(super) polled_names: PolledNames,
    pub(super) listen_state: ListenState,
    pub(super) released_names: ReleasedNames,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("label", &self.label)
            .field("table", &self.sql.statements.table)
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
        let released_names = ReleasedNames::default();
        Self { label, pool, connections, sql, polled_names, listen_state, released_names }
    }

    /// Runs a statement that writes, and returns its rows once it is committed. If the server
    /// refuses what the statement does beside its work, and so has done nothing, runs it without.
    pub(super) async fn write(
        &self,
        purpose: Purpose,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Result<Vec<PgRow>> {
        self.write_bound(purpose, statement, |sql| bind(sql, statement, values)).await
    }

    /// Does the same for values that the caller binds.
    pub(super) async fn write_bound(
        &self,
        purpose: Purpose,
        statement: &Statement,
        bound: impl Fn(SqlStr) -> BoundStatement<sqlx::Postgres>,
    ) -> Result<Vec<PgRow>> {
        let done = self.connections.write_rows(purpose, || bound(statement.sql.clone())).await;
        let Some(fallback) = &statement.fallback else { return done };
        match done {
            Err(refusal) if error_codes::refuses_addition(&refusal) => {
                let rows =
                    self.connections.write_rows(purpose, || bound(fallback.sql.clone())).await?;
                if !fallback.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        why = %refusal,
                        "the server refuses NOTIFY or set_config; waiters get no hint"
                    );
                }
                Ok(rows)
            }
            Ok(rows) => {
                fallback.warned.store(false, Ordering::Relaxed);
                Ok(rows)
            }
            Err(error) => Err(error),
        }
    }

    /// Runs a statement that changes nothing.
    pub(super) async fn read(
        &self,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Result<Vec<PgRow>> {
        let bound = || bind(statement.sql.clone(), statement, values);
        self.connections.read_rows(Purpose::Read, bound).await
    }

    pub(super) fn corrupt_row(&self, corrupt: CorruptRecord) -> Error {
        corrupt.into_error(&self.sql.statements.table)
    }
}
