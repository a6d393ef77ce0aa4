//! This module checks that the tables exist, and creates those that do not.

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::queue_statements::MIN_AGGREGATE;
use super::sql::Sql;
use super::tables::EXPECTED;
use super::{error_codes, session, table_check};
use crate::sql::create::create;
use crate::sql::error::connecting;
use crate::sql::schema;
use crate::{Error, ErrorKind, OpenOptions, Result, Schema};

/// Makes sure that the server can be used and that the tables are there; it writes nothing, and
/// needs no right to create, where they are. Returns the name of the database that the connection
/// has chosen, and the statements for the tables in it.
///
/// A table that an earlier version created lacks the columns of queues. They are added, over another
/// connection with these options, if that is allowed; otherwise the store works without them.
pub(super) async fn open(
    connection: &mut MySqlConnection,
    connect: &MySqlConnectOptions,
    options: &OpenOptions,
) -> Result<(String, Sql)> {
    let (database, may_have_queues) = check_server(connection).await?;
    let sql = Sql::new(&options.namespace, &database);
    let [(locks, ..), _] = sql.tables();
    let mut has_columns = false;
    for (table, create_it, columns) in sql.tables() {
        let mut found = table_check::find(connection, table, columns).await?;
        if found.is_none() {
            if options.schema == Schema::Require {
                return Err(schema::missing(table));
            }
            // `IF NOT EXISTS` is atomic.
            create::<sqlx::MySql>(connection, create_it).await?;
            found = table_check::find(connection, table, columns).await?;
        }
        let Some(has_columns_of_queues) = found else { return Err(schema::missing(table)) };
        has_columns |= table == locks && has_columns_of_queues;
    }
    if !has_columns {
        let mut error = None;
        if options.schema != Schema::Require {
            error = add_columns(connect, &sql).await.err();
            has_columns = table_check::find(connection, locks, &EXPECTED).await? == Some(true);
        }
        if !has_columns {
            tracing::warn!(
                error = error.as_ref().map(tracing::field::display),
                "the table {locks} has no columns kind and queue as leasehold creates them, so that \
                 the store has exclusive locks only; to add them, run: {}",
                sql.add_columns,
            );
        }
    }
    if !may_have_queues {
        tracing::warn!(
            "group_concat_max_len is below {MIN_AGGREGATE}, so that the store has exclusive locks \
             only"
        );
    }
    let sql = Sql::of(&options.namespace, &database, has_columns && may_have_queues);
    Ok((database, sql))
}

/// Adds the columns of queues to the table of locks.
///
/// While this waits for the table, the statements of all others wait for this. So it waits for a
/// short time only, which is a setting of the session, and the application's sessions are left as they
/// are.
async fn add_columns(connect: &MySqlConnectOptions, sql: &Sql) -> Result<()> {
    let mut connection = session::connect(connect).await.map_err(connecting::<sqlx::MySql>)?;
    let limited = connection.execute("SET lock_wait_timeout = 2, innodb_lock_wait_timeout = 2");
    limited.await.map_err(error_codes::not_written)?;
    // Of several instances that add them at once, all but one fail.
    let add = sqlx::raw_sql(AssertSqlSafe(sql.add_columns.clone()));
    connection.execute(add).await.map_err(error_codes::not_written)?;
    // The columns are there, whether or not the session ends in order.
    _ = connection.close().await;
    Ok(())
}

/// Returns the database that the connection has chosen, and whether statements on queues work there.
async fn check_server(connection: &mut MySqlConnection) -> Result<(String, bool)> {
    let row = sqlx::query(
        "SELECT CAST(VERSION() AS BINARY) AS version, \
             CAST(CONVERT(DATABASE() USING utf8mb4) AS BINARY) AS chosen, \
             @@autocommit = 1 AS autocommit, @@read_only = 1 AS read_only, \
             CAST(LEAST(@@group_concat_max_len, 1 << 30) AS SIGNED) AS aggregate_len, \
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
    let is_mariadb = version.contains("MariaDB");
    let least = if is_mariadb { (10, 6) } else { (8, 0) };
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
    let aggregate: i64 = row.try_get("aggregate_len").map_err(error_codes::not_written)?;
    Ok((database, !is_mariadb || aggregate >= MIN_AGGREGATE))
}
