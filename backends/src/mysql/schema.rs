//! This module checks that the tables exist, and creates those that do not.

use sqlx::Row;
use sqlx::mysql::MySqlConnection;

use super::sql::Sql;
use super::{error_codes, table_check};
use crate::sql::create::create;
use crate::sql::schema;
use crate::{Error, ErrorKind, OpenOptions, Result, Schema};

/// Makes sure that the server can be used and that the tables are there; it writes nothing, and
/// needs no right to create, where they are. Returns the name of the database that the connection
/// has chosen, and the statements for the tables in it.
pub(super) async fn open(
    connection: &mut MySqlConnection,
    options: &OpenOptions,
) -> Result<(String, Sql)> {
    let database = check_server(connection).await?;
    let sql = Sql::new(&options.namespace, &database);
    for (table, create_it, columns) in sql.tables() {
        if table_check::exists(connection, table, columns).await? {
            continue;
        }
        if options.schema == Schema::Require {
            return Err(schema::missing(table));
        }
        // `IF NOT EXISTS` is atomic.
        create::<sqlx::MySql>(connection, create_it).await?;
        if !table_check::exists(connection, table, columns).await? {
            return Err(schema::missing(table));
        }
    }
    Ok((database, sql))
}

/// Returns the database that the connection has chosen.
async fn check_server(connection: &mut MySqlConnection) -> Result<String> {
    let row = sqlx::query(
        "SELECT CAST(VERSION() AS BINARY) AS version, \
             CAST(CONVERT(DATABASE() USING utf8mb4) AS BINARY) AS chosen, \
             @@autocommit = 1 AS autocommit, @@read_only = 1 AS read_only, \
             FIND_IN_SET('SIMULTANEOUS_ASSIGNMENT', @@sql_mode) > 0 AS unordered, \
             SYSDATE(6) = NOW(6) AND SLEEP(0.001) = 0 AND SYSDATE(6) = NOW(6) AS frozen",
    )
    .fetch_one(connection)
    .await
    .map_err(error_codes::not_written)?;
    let text = |column: &str| -> Result<String> {
        let bytes: Option<Vec<u8>> = row.try_get(column).map_err(error_codes::not_written)?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    let flag = |column: &str| {
        let flag: Option<i64> = row.try_get(column).map_err(error_codes::not_written)?;
        Ok::<_, Error>(flag == Some(1))
    };
    let version = text("version")?;
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let least = if version.contains("MariaDB") { (10, 6) } else { (8, 0) };
    if found < least {
        let message = format!("the server's version {version} lacks JSON_TABLE");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_fix("use MySQL 8.0 or later, or MariaDB 10.6 or later"));
    }
    let database = text("chosen")?;
    if database.is_empty() {
        return Err(Error::invalid("no database is chosen").with_fix("name one in the URL"));
    }
    if !flag("autocommit")? {
        return Err(Error::invalid("autocommit is off on this connection")
            .with_fix("give the store its own pool, or enable autocommit"));
    }
    if flag("unordered")? {
        let message = "sql_mode has SIMULTANEOUS_ASSIGNMENT, and statements here assign in order";
        return Err(Error::new(ErrorKind::Unsupported, message).with_fix("remove it from sql_mode"));
    }
    if flag("frozen")? {
        let message = "this server treats SYSDATE() as NOW(), which hides lock waits";
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_fix("start the server without --sysdate-is-now"));
    }
    if flag("read_only")? {
        return Err(Error::new(ErrorKind::Denied, error_codes::READ_ONLY)
            .with_fix(error_codes::USE_PRIMARY));
    }
    Ok(database)
}
