//! Checking that the schema is in place, and creating it where it is not.

use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use sqlx::{AssertSqlSafe, Connection};
use tokio::time::sleep;

use super::error;
use super::sql::Sql;
use crate::{Clock, Error, ErrorKind, Result, Schema, SystemClock};

/// How long to wait for a database that others are opening or creating at the same time.
///
/// Some of these steps answer "busy" at once, without the patience that connections are set to:
/// switching to the write-ahead log needs the file for itself for a moment.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Repeats `step` for as long as it answers "busy" and patience lasts.
pub(super) async fn patiently<T, F>(mut step: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    let give_up = SystemClock.now() + PATIENCE;
    let mut pause = PAUSE;
    loop {
        match step().await {
            Err(error) if error::is_busy(&error) && SystemClock.now() < give_up => {
                // Starters that collide are not to collide again in step.
                let jitter = fastrand::u32(..8);
                sleep(pause + pause * jitter / 8).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            Err(error) => return Err(error::unwritten(error)),
            Ok(value) => return Ok(value),
        }
    }
}

/// Lets readers go on while one connection writes. A property of the file, so set once.
///
/// Any journal mode is correct, so one that cannot be changed is left.
pub(super) async fn use_write_ahead_log(pool: &SqlitePool) -> Result<()> {
    let mode = patiently(|| async move {
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

/// Makes sure that the tables and their index are there, without a write where they are.
pub(super) async fn ensure(pool: &SqlitePool, sql: &Sql, schema: Schema) -> Result<()> {
    let missing =
        |name: &str| Error::invalid(format!("\"{name}\" is missing")).with_fix(error::CREATE_IT);
    match patiently(|| find(pool, sql)).await? {
        Found::Complete => return Ok(()),
        Found::Missing(name) if schema == Schema::Require => return Err(missing(&name)),
        Found::Missing(_) => {}
        Found::Other(why) => return Err(why),
    }
    patiently(|| async move {
        let mut connection = pool.acquire().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        for statement in sql.create_if_missing() {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    })
    .await?;
    match patiently(|| find(pool, sql)).await? {
        Found::Complete => Ok(()),
        Found::Missing(name) => Err(missing(&name)),
        Found::Other(why) => Err(why),
    }
}

enum Found {
    Complete,
    Missing(String),
    /// It is there and cannot be used.
    Other(Error),
}

async fn find(pool: &SqlitePool, sql: &Sql) -> sqlx::Result<Found> {
    let mut connection = pool.acquire().await?;
    let encoding: String =
        sqlx::query_scalar("PRAGMA encoding").fetch_one(&mut *connection).await?;
    if encoding != "UTF-8" {
        let message = format!("the database keeps text as {encoding}, whose order is not of bytes");
        return Ok(Found::Other(
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
        if !definition.is_some_and(|definition| same(&definition, create)) {
            let message = format!("\"{name}\" is not as leasehold creates it");
            return Ok(Found::Other(Error::new(ErrorKind::Corrupt, message).with_fix(
                "compare it with the schema that leasehold prints, or use another namespace",
            )));
        }
    }
    Ok(missing.map_or(Found::Complete, Found::Missing))
}

/// SQLite keeps a definition as it was written; a migration may have laid it out otherwise.
fn same(left: &str, right: &str) -> bool {
    let normal = |text: &str| -> String {
        text.chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '"' | '`' | '[' | ']'))
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    normal(left) == normal(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_does_not_matter_but_every_word_does() {
        assert!(same("CREATE TABLE a (b TEXT)", "create table \"a\"(\n  b text\n)"));
        assert!(!same("CREATE TABLE a (b TEXT)", "CREATE TABLE a (b TEXT COLLATE NOCASE)"));
    }
}
