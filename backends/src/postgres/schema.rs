//! Checking that the table is in place, and creating it where it is not.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::time::sleep;

use super::error;
use super::sql::{EXPECTED, Sql};
use crate::{Error, ErrorKind, Result, Schema};

/// How often creating is tried, while others create the same.
const TRIES: u32 = 10;

/// Makes sure that the server can be used and that the table is there; it writes nothing, and needs
/// no right to create, where it is.
pub(super) async fn ensure(connection: &mut PgConnection, sql: &Sql, schema: Schema) -> Result<()> {
    check_server(connection).await?;
    let missing = || {
        Error::invalid(format!("the table \"{}\" is missing", sql.table)).with_fix(error::CREATE_IT)
    };
    if is_there(connection, sql).await? {
        return Ok(());
    }
    if schema == Schema::Require {
        return Err(missing());
    }
    create(connection, sql).await?;
    if is_there(connection, sql).await? { Ok(()) } else { Err(missing()) }
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
async fn create(connection: &mut PgConnection, sql: &Sql) -> Result<()> {
    // One message of two statements is one transaction.
    let script = format!(
        "SELECT pg_advisory_xact_lock(hashtext('leasehold'), hashtext('{}')); {}",
        sql.table, sql.create
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
async fn is_there(connection: &mut PgConnection, sql: &Sql) -> Result<bool> {
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
    .bind(&sql.table)
    .fetch_all(connection)
    .await
    .map_err(error::unwritten)?;
    if columns.is_empty() {
        return Ok(false);
    }
    match difference(&columns).map_err(error::unwritten)? {
        None => Ok(true),
        Some(difference) => {
            let message = format!("\"{}\" is not as leasehold creates it: {difference}", sql.table);
            Err(Error::new(ErrorKind::Corrupt, message).with_fix(
                "compare it with the schema that leasehold prints, or use another namespace",
            ))
        }
    }
}

/// What is not as expected. Further columns do no harm, unless they must be filled.
fn difference(columns: &[PgRow]) -> sqlx::Result<Option<String>> {
    let mut missing: Vec<_> = EXPECTED.to_vec();
    for column in columns {
        if !column.try_get::<bool, _>("is_table")? {
            return Ok(Some("it is no table".to_owned()));
        }
        let name: &str = column.try_get("name")?;
        let kind: &str = column.try_get("type")?;
        let filled: bool = column.try_get("filled")?;
        let known = missing.iter().position(|(expected, _)| *expected == name);
        let Some((_, expected)) = known.map(|at| missing.swap_remove(at)) else {
            if filled && !column.try_get::<bool, _>("given")? {
                return Ok(Some(format!("its column {name} must be filled")));
            }
            continue;
        };
        if kind != expected {
            return Ok(Some(format!("its column {name} is {kind}, not {expected}")));
        }
        if filled != matches!(name, "name" | "token") {
            return Ok(Some(format!("NULL in its column {name}")));
        }
        if name == "name" {
            let collation: &str = column.try_get("collation")?;
            if !matches!(collation, "C" | "POSIX") {
                return Ok(Some(format!("its names compare as {collation:?}, not as \"C\"")));
            }
            if !column.try_get::<bool, _>("is_key")? {
                return Ok(Some("its names are not unique".to_owned()));
            }
        }
    }
    Ok(missing.first().map(|(name, _)| format!("it has no column {name}")))
}
