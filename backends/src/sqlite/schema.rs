//! This module checks that the schema exists, and creates it where it does not.

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, Connection};

use super::retry_busy::retry_while_busy;
use super::sql::Sql;
use super::tables::SCHEMA;
use super::{error_codes, table_check};
use crate::sql::schema::{check_version, differs};
use crate::{Error, ErrorKind, Result, Schema};

/// Lets readers go on while one connection writes. A property of the file, so set once.
///
/// Any journal mode is correct, so one that cannot be changed is left.
pub(super) async fn use_write_ahead_log(pool: &SqlitePool) -> Result<()> {
    let mode = retry_while_busy(|| async move {
        let mut connection = pool.acquire().await?;
        let mode: String =
            sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
        if mode == "wal" {
            return Ok(mode);
        }
        sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await
    });
    let mode = mode.await?;
    if mode != "wal" {
        tracing::warn!(mode, "the SQLite database cannot be switched to its write-ahead log");
    }
    Ok(())
}

/// Returns whether the database has a write-ahead log, which that connection then keeps.
pub(super) async fn has_write_ahead_log(connection: &mut SqliteConnection) -> Result<bool> {
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(connection)
        .await
        .map_err(error_codes::not_written)?;
    Ok(mode == "wal")
}

/// Makes sure that the tables and their index exist, without a write if they do, and returns
/// whether the table of locks has a column `set_at`.
///
/// A table of the first schema lacks it. It is added if that is allowed; otherwise the store works
/// without it.
pub(super) async fn ensure(pool: &SqlitePool, sql: &Sql, schema: Schema) -> Result<bool> {
    let missing = |name: &str| {
        Error::invalid(format!("\"{name}\" is missing")).with_fix(error_codes::CREATE_IT)
    };
    let found = retry_while_busy(|| find(pool, sql)).await?;
    match found {
        SchemaState::Complete => return Ok(true),
        SchemaState::First if schema == Schema::Require => return Ok(without_set_at(sql, None)),
        SchemaState::Missing(name) if schema == Schema::Require => return Err(missing(&name)),
        SchemaState::First | SchemaState::Missing(_) => {}
        SchemaState::Other(why) => return Err(why),
    }
    let created = retry_while_busy(|| async move {
        let mut connection = pool.acquire().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        for statement in sql.create_if_missing() {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
        }
        if !has_set_at(&mut transaction, sql).await? {
            sqlx::raw_sql(AssertSqlSafe(sql.upgrade.clone())).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    })
    .await;
    match (created, found) {
        (Ok(()), _) => {}
        (Err(error), SchemaState::First) => return Ok(without_set_at(sql, Some(&error))),
        (Err(error), _) => return Err(error),
    }
    match retry_while_busy(|| find(pool, sql)).await? {
        SchemaState::Complete => Ok(true),
        SchemaState::First => Ok(without_set_at(sql, None)),
        SchemaState::Missing(name) => Err(missing(&name)),
        SchemaState::Other(why) => Err(why),
    }
}

/// Logs what a table of the first schema means for leases.
fn without_set_at(sql: &Sql, error: Option<&Error>) -> bool {
    let error = error.map(tracing::field::display);
    tracing::warn!(
        error,
        "the table {} has no column set_at, so that a lease from before a reboot can block its \
         name for up to a day; to add it, run: {}",
        sql.statements.table,
        sql.upgrade,
    );
    false
}

enum SchemaState {
    Complete,
    /// Only the column `set_at` is missing.
    First,
    Missing(String),
    /// It is there and cannot be used.
    Other(Error),
}

async fn find(pool: &SqlitePool, sql: &Sql) -> sqlx::Result<SchemaState> {
    let mut connection = pool.acquire().await?;
    let encoding: String =
        sqlx::query_scalar("PRAGMA encoding").fetch_one(&mut *connection).await?;
    if encoding != "UTF-8" {
        let message = format!(
            "the database keeps text as {encoding}, which does not sort by \
                               bytes"
        );
        return Ok(SchemaState::Other(
            Error::new(ErrorKind::Unsupported, message).with_fix("use a database in UTF-8"),
        ));
    }
    let mut missing = None;
    for (name, create) in sql.objects() {
        let definition = sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = ?1");
        let definition: Option<Option<String>> =
            definition.bind(name).fetch_optional(&mut *connection).await?;
        let Some(definition) = definition else {
            missing.get_or_insert_with(|| name.to_owned());
            continue;
        };
        let definition = definition.unwrap_or_default();
        if let Err(error) = check_version(name, &definition, SCHEMA) {
            return Ok(SchemaState::Other(error));
        }
        let difference = match sql.columns(name) {
            Some(expected) => table_check::difference(&mut connection, name, expected).await?,
            None if table_check::same(&definition, create) => None,
            None => Some("its definition differs".to_owned()),
        };
        if let Some(difference) = difference {
            return Ok(SchemaState::Other(differs(name, &difference)));
        }
    }
    Ok(match missing {
        Some(name) => SchemaState::Missing(name),
        None if has_set_at(&mut connection, sql).await? => SchemaState::Complete,
        None => SchemaState::First,
    })
}

async fn has_set_at(connection: &mut SqliteConnection, sql: &Sql) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pragma_table_xinfo(?1) WHERE name = 'set_at')")
        .bind(&sql.statements.table)
        .fetch_one(connection)
        .await
}
