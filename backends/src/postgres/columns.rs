//! Checks that a table has the form that Leasehold creates.

use sqlx::Row;
use sqlx::postgres::PgRow;

/// A column of a table: its name, its type, and whether it is NOT NULL. The first column of a table
/// is its key.
pub(super) type Column = (&'static str, &'static str, bool);

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

/// Returns the first difference from what is expected. Additional columns are allowed, unless they
/// must be filled.
pub(super) fn difference(columns: &[PgRow], expected: &[Column]) -> sqlx::Result<Option<String>> {
    let key = expected.first().map(|(name, ..)| *name);
    let mut missing = expected.to_vec();
    for column in columns {
        if !column.try_get::<bool, _>("is_table")? {
            return Ok(Some("it is not a table".to_owned()));
        }
        if column.try_get("is_temporary")? {
            return Ok(Some("it is a temporary table of this session alone".to_owned()));
        }
        let name: &str = column.try_get("name")?;
        let kind: &str = column.try_get("type")?;
        let filled: bool = column.try_get("filled")?;
        let known = missing.iter().position(|(expected, ..)| *expected == name);
        let Some((_, expected, always)) = known.map(|at| missing.swap_remove(at)) else {
            if filled && !column.try_get::<bool, _>("given")? {
                return Ok(Some(format!("its column {name} must be filled")));
            }
            continue;
        };
        if kind != expected {
            return Ok(Some(format!("its column {name} is {kind}, not {expected}")));
        }
        if filled != always {
            return Ok(Some(format!("NULL in its column {name}")));
        }
        if key == Some(name) {
            let collation: &str = column.try_get("collation")?;
            if expected == "text" && !matches!(collation, "C" | "POSIX") {
                return Ok(Some(format!("its {name}s compare as {collation:?}, not as \"C\"")));
            }
            if !column.try_get::<bool, _>("is_key")? {
                return Ok(Some(format!("its {name}s are not unique")));
            }
        }
    }
    Ok(missing.first().map(|(name, ..)| format!("it has no column {name}")))
}
