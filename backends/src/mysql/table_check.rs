//! Checks that a table has the form that Leasehold creates.

use sqlx::Row;
use sqlx::mysql::{MySqlConnection, MySqlRow};

use super::error_codes;
use super::tables::{QUEUE_COLUMNS, SCHEMA};
use crate::Result;
use crate::sql::schema::{self, Column, FoundColumn};

/// Returns whether the table has the columns of queues too; `None` if it does not exist.
///
/// # Errors
/// This returns [`Corrupt`](crate::ErrorKind::Corrupt) for a table that is not Leasehold's.
pub(super) async fn find(
    connection: &mut MySqlConnection,
    table: &str,
    expected: &[Column],
) -> Result<Option<bool>> {
    let columns = sqlx::query(
        "SELECT CAST(c.column_name AS BINARY) AS name, CAST(c.column_type AS BINARY) AS kind, \
             c.is_nullable = 'NO' AS filled, \
             c.column_default IS NOT NULL OR c.extra <> '' AS given, \
             CAST(COALESCE(c.character_set_name, '') AS BINARY) AS charset, \
             CAST(COALESCE(t.table_comment, '') AS BINARY) AS comment, \
             CAST(COALESCE(t.engine, 'none') AS BINARY) AS engine, EXISTS ( \
                 SELECT 1 FROM information_schema.statistics AS s \
                 WHERE s.table_schema = c.table_schema AND s.table_name = c.table_name \
                     AND s.index_name = 'PRIMARY' \
                 HAVING COUNT(*) = 1 AND MIN(s.column_name) = ? \
                     AND MIN(COALESCE(s.sub_part, 0)) = 0) AS is_key \
         FROM information_schema.columns AS c JOIN information_schema.tables AS t \
             ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
         WHERE c.table_schema = DATABASE() AND c.table_name = ?",
    )
    .bind(expected.first().map(|(key, ..)| *key))
    .bind(table)
    .fetch_all(connection)
    .await
    .map_err(error_codes::not_written)?;
    let Some(first) = columns.first() else { return Ok(None) };
    let comment: Vec<u8> = first.try_get("comment").map_err(error_codes::not_written)?;
    schema::check_version(table, &String::from_utf8_lossy(&comment), SCHEMA)?;
    let difference = difference(&columns, expected, |_| true);
    if let Some(difference) = difference.map_err(error_codes::not_written)? {
        return Err(schema::differs(table, &difference));
    }
    // An application may have added such a column for itself.
    let is_of_queue = |column: &str| QUEUE_COLUMNS.iter().any(|(name, ..)| *name == column);
    let difference = self::difference(&columns, &QUEUE_COLUMNS, is_of_queue);
    Ok(Some(difference.map_err(error_codes::not_written)?.is_none()))
}

/// Returns the first difference from what is expected, among the columns that are checked.
fn difference(
    columns: &[MySqlRow],
    expected: &[Column],
    is_checked: impl Fn(&str) -> bool,
) -> sqlx::Result<Option<String>> {
    let key = expected.first().map_or("", |(name, ..)| name);
    let mut found = Vec::new();
    for column in columns {
        let text = |name: &str| -> sqlx::Result<String> {
            Ok(String::from_utf8_lossy(&column.try_get::<Vec<u8>, _>(name)?).into_owned())
        };
        let flag = |name: &str| Ok::<_, sqlx::Error>(column.try_get::<i64, _>(name)? == 1);
        let engine = text("engine")?;
        if !engine.eq_ignore_ascii_case("InnoDB") {
            return Ok(Some(format!("its engine is {engine}, not InnoDB")));
        }
        let (name, kind, charset) = (text("name")?, text("kind")?, text("charset")?);
        if !is_checked(&name) {
            continue;
        }
        // MariaDB shows a width, which means nothing.
        let kind = if kind == "bigint(20)" { "bigint".to_owned() } else { kind };
        let wrong = if kind == "longtext" && charset != "utf8mb4" {
            Some(format!("its column {name} is of {charset}, not utf8mb4"))
        } else if name == key && !flag("is_key")? {
            Some(format!("its {key}s are not its primary key"))
        } else {
            None
        };
        let (filled, given) = (flag("filled")?, flag("given")?);
        found.push(FoundColumn { name, kind, filled, given, wrong });
    }
    Ok(schema::difference(found, expected))
}
