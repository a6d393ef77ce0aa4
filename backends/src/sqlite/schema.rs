//! This module checks that the schema exists, and creates it where it does not.

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, Connection};

use super::retry_busy::retry_while_busy;
use super::sql::Sql;
use super::tables::{ADDED_COLUMNS, AddedColumns, SCHEMA};
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

/// Makes sure that the tables and their index exist, without a write if they do, and returns which
/// of the columns that were added the table of locks has.
///
/// A table that an earlier version created lacks some. They are added if that is allowed; otherwise
/// the store works without them.
pub(super) async fn ensure(pool: &SqlitePool, sql: &Sql, schema: Schema) -> Result<AddedColumns> {
    let missing = |name: &str| {
        Error::invalid(format!("\"{name}\" is missing")).with_fix(error_codes::CREATE_IT)
    };
    let found = retry_while_busy(|| find(pool, sql)).await?;
    match found {
        SchemaState::Complete => return Ok(AddedColumns::ALL),
        SchemaState::Earlier(added) if schema == Schema::Require => {
            return Ok(warn(sql, added, None));
        }
        SchemaState::Missing(name) if schema == Schema::Require => return Err(missing(&name)),
        SchemaState::Earlier(_) | SchemaState::Missing(_) => {}
        SchemaState::Other(why) => return Err(why),
    }
    let created = retry_while_busy(|| async move {
        let mut connection = pool.acquire().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        for statement in sql.create_if_missing() {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
        }
        let present = added_columns(&mut transaction, sql).await?;
        for column in ADDED_COLUMNS {
            if !present.iter().any(|(name, _)| name == column) {
                let add = AssertSqlSafe(sql.add_column(column));
                sqlx::raw_sql(add).execute(&mut *transaction).await?;
            }
        }
        transaction.commit().await
    })
    .await;
    match (created, found) {
        (Ok(()), _) => {}
        (Err(error), SchemaState::Earlier(added)) => return Ok(warn(sql, added, Some(&error))),
        (Err(error), _) => return Err(error),
    }
    match retry_while_busy(|| find(pool, sql)).await? {
        SchemaState::Complete => Ok(AddedColumns::ALL),
        SchemaState::Earlier(added) => Ok(warn(sql, added, None)),
        SchemaState::Missing(name) => Err(missing(&name)),
        SchemaState::Other(why) => Err(why),
    }
}

/// Logs what it means that a table has no more than these of the columns that were added.
fn warn(sql: &Sql, added: AddedColumns, error: Option<&Error>) -> AddedColumns {
    let (table, add) = (&sql.statements.table, |column| sql.add_column(column));
    let error = error.map(tracing::field::display);
    if !added.set_at {
        tracing::warn!(
            error,
            "the table {table} has no column set_at, so that a lease from before a reboot can block \
             its name for up to a day; to add it, run: {}",
            add("set_at"),
        );
    }
    if !added.queue {
        tracing::warn!(
            error,
            "the table {table} has no columns kind and queue of the type TEXT, so that the store has \
             exclusive locks only; to add them, run: {}; {}",
            add("kind"),
            add("queue"),
        );
    }
    added
}

enum SchemaState {
    Complete,
    /// Only columns that were added are missing.
    Earlier(AddedColumns),
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
    if let Some(name) = missing {
        return Ok(SchemaState::Missing(name));
    }
    let present = added_columns(&mut connection, sql).await?;
    let has = |column: &str| present.iter().any(|(name, _)| name == column);
    let can_be_null_text = |column: &str| present.contains(&(String::from(column), true));
    let added = AddedColumns {
        set_at: has("set_at"),
        // An application may have added such a column for itself.
        queue: can_be_null_text("kind") && can_be_null_text("queue"),
    };
    Ok(if added == AddedColumns::ALL { SchemaState::Complete } else { SchemaState::Earlier(added) })
}

/// Returns which of the [`ADDED_COLUMNS`] the table of locks has, and whether each can contain text
/// or NULL.
async fn added_columns(
    connection: &mut SqliteConnection,
    sql: &Sql,
) -> sqlx::Result<Vec<(String, bool)>> {
    let columns: Vec<(String, bool)> = sqlx::query_as(
        "SELECT name, upper(type) = 'TEXT' AND \"notnull\" = 0 AND hidden = 0 \
         FROM pragma_table_xinfo(?1)",
    )
    .bind(&sql.statements.table)
    .fetch_all(connection)
    .await?;
    Ok(columns.into_iter().filter(|(name, _)| ADDED_COLUMNS.contains(&name.as_str())).collect())
}
