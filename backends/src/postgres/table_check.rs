//! Checks that a table has the form that Leasehold creates.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::tables::QUEUE_COLUMNS;
use crate::sql::schema::{self, Column, FoundColumn};

/// Returns the query for the columns of a table, whose name is an SQL literal. Each row also has
/// the schema and the comment of the table; there are no rows if the table does not exist.
pub(super) fn query(literal: &str) -> String {
    format!(
        "SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, \
             a.attnotnull AS filled, a.atthasdef OR a.attidentity <> '' AS given, coalesce(o.collname::text, '') AS \
             collation, c.relkind IN ('r', 'p') AS is_table, c.relpersistence = 't' AS is_temporary, \
             EXISTS ( \
                 SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique \
                     AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL \
                     AND i.indnatts = 1 AND i.indkey[0] = a.attnum) AS is_key, \
             quote_ident(n.nspname) AS schema, obj_description(c.oid, 'pg_class') AS comment \
         FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid \
             JOIN pg_namespace AS n ON n.oid = c.relnamespace \
             LEFT JOIN pg_collation AS o ON o.oid = a.attcollation \
         WHERE c.oid = to_regclass({literal}) AND a.attnum > 0 AND NOT a.attisdropped"
    )
}

/// Returns the first difference from what is expected.
pub(super) fn difference(columns: &[PgRow], expected: &[Column]) -> sqlx::Result<Option<String>> {
    let key = expected.first().map_or("", |(name, ..)| name);
    let mut found = Vec::new();
    for column in columns {
        if !column.try_get::<bool, _>("is_table")? {
            return Ok(Some("it is not a table".to_owned()));
        }
        if column.try_get("is_temporary")? {
            return Ok(Some("it is a temporary table of this session alone".to_owned()));
        }
        let name: String = column.try_get("name")?;
        let (kind, collation): (String, &str) =
            (column.try_get("type")?, column.try_get("collation")?);
        let wrong = if name != key {
            None
        } else if kind == "text" && !matches!(collation, "C" | "POSIX") {
            Some(format!("its {name}s compare as {collation:?}, not as \"C\""))
        } else if !column.try_get::<bool, _>("is_key")? {
            Some(format!("its {name}s are not unique"))
        } else {
            None
        };
        let (filled, given) = (column.try_get("filled")?, column.try_get("given")?);
        found.push(FoundColumn { name, kind, filled, given, wrong });
    }
    Ok(schema::difference(found, expected))
}

/// Returns whether the table has the columns of queues. An application may have added such a column
/// for itself.
pub(super) fn has_queues(columns: &[PgRow]) -> sqlx::Result<bool> {
    let mut found = 0;
    for column in columns {
        let (name, kind): (String, String) = (column.try_get("name")?, column.try_get("type")?);
        let (filled, given): (bool, bool) = (column.try_get("filled")?, column.try_get("given")?);
        found += usize::from(!given && QUEUE_COLUMNS.contains(&(&*name, &*kind, filled)));
    }
    Ok(found == QUEUE_COLUMNS.len())
}
