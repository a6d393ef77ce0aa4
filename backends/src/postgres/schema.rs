//! Checking that the tables are in place, and creating those that are not.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::time::sleep;

use super::error;
use super::sql::{Column, Sql};
use crate::{Error, ErrorKind, Result, Schema};

/// How often creating is tried, while others create the same.
const TRIES: u32 = 10;

/// Makes sure that the server can be used and that the tables are there; it writes nothing, and
/// needs no right to create, where they are.
pub(super) async fn ensure(connection: &mut PgConnection, sql: &Sql, schema: Schema) -> Result<()> {
    check_server(connection).await?;
    for (table, create_it, columns) in sql.tables() {
        let missing = || {
            Error::invalid(format!("the table \"{table}\" is missing")).with_fix(error::CREATE_IT)
        };
        if is_there(connection, table, columns).await? {
            continue;
        }
        if schema == Schema::Require {
            return Err(missing());
        }
        create(connection, table, create_it).await?;
        if !is_there(connection, table, columns).await? {
            return Err(missing());
        }
    }
    Ok(())
}

async fn check_server(connection: &mut PgConnection) -> Result<()> {
    let row = sqlx::query(
        "SELECT current_setting('server_encoding') AS encoding, \
             pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only",
    )
    .persistent(false)
    .fetch_one(connection)
    .await
    .map_err(error::unwritten)?;
    let encoding: String = row.try_get("encoding").map_err(error::unwritten)?;
    if encoding != "UTF8" {
        let message = format!("the database keeps text as {encoding}, which lacks some names");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_fix("use a database that was created with ENCODING 'UTF8'"));
    }
    if row.try_get("read_only").map_err(error::unwritten)? {
        return Err(Error::new(ErrorKind::Denied, error::READ_ONLY).with_fix(error::USE_PRIMARY));
    }
    Ok(())
}

/// Starters queue for an advisory lock, since `IF NOT EXISTS` alone is not safe against others who
/// create the same. What still collides, such as a migration, is tried again.
async fn create(connection: &mut PgConnection, table: &str, create: &str) -> Result<()> {
    // One message of two statements is one transaction.
    let script = format!(
        "SELECT pg_advisory_xact_lock(hashtext('leasehold'), hashtext('{table}')); {create}"
    );
    for round in 1.. {
        match connection.execute(sqlx::raw_sql(AssertSqlSafe(script.clone()))).await {
            Ok(_) => break,
            Err(error) if error::is_creation_race(&error) && round < TRIES => {
                sleep(Duration::from_millis(fastrand::u64(5..50))).await;
            }
            Err(error) => return Err(error::unwritten(error)),
        }
    }
    Ok(())
}

/// Whether the table is there; an error when what is there is not Leasehold's.
async fn is_there(connection: &mut PgConnection, table: &str, expected: &[Column]) -> Result<bool> {
    // As the statements find it: by the connection's search path.
    let columns = sqlx::query(
        "SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, \
             a.attnotnull AS filled, a.atthasdef AS given, coalesce(o.collname::text, '') AS \
             collation, c.relkind IN ('r', 'p') AS is_table, EXISTS ( \
                 SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique \
                     AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL \
                     AND i.indnatts = 1 AND i.indkey[0] = a.attnum) AS is_key \
         FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid \
             LEFT JOIN pg_collation AS o ON o.oid = a.attcollation \
         WHERE c.oid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped",
    )
    .persistent(false)
    .bind(table)
    .fetch_all(connection)
    .await
    .map_err(error::unwritten)?;
    if columns.is_empty() {
        return Ok(false);
    }
    match difference(&columns, expected).map_err(error::unwritten)? {
        None => Ok(true),
        Some(difference) => {
            let message = format!("\"{table}\" is not as leasehold creates it: {difference}");
            Err(Error::new(ErrorKind::Corrupt, message).with_fix(
                "compare it with the schema that leasehold prints, or use another namespace",
            ))
        }
    }
}

/// What is not as expected. Further columns do no harm, unless they must be filled.
fn difference(columns: &[PgRow], expected: &[Column]) -> sqlx::Result<Option<String>> {
    let key = expected.first().map(|(name, ..)| *name);
    let mut missing = expected.to_vec();
    for column in columns {
        if !column.try_get::<bool, _>("is_table")? {
            return Ok(Some("it is no table".to_owned()));
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
