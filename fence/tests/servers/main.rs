//! The fence is tested on real servers: what raising it waits for, which terms it refuses, and
//! which transactions run side by side.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod cases;
mod mysql_settings;
mod rights;
mod with_diesel;
mod with_tokio_postgres;

use leasehold_fence::{FencingToken, LockName, Namespace, Term};
use leasehold_test_servers::catalog::{MARIADB, MYSQL, POSTGRES};
use leasehold_test_servers::{Image, Server, pgbouncer, skipped};
use sqlx::{Connection, MySqlConnection, PgConnection, Transaction};

/// Returns the server, if it runs in a container of its own, and its URL; or `None` if it is to be
/// skipped.
async fn start(image: &Image) -> Option<(Option<Server>, String)> {
    if skipped(image.name) {
        eprintln!("{}: skipped", image.name);
        return None;
    }
    if let Some(url) = image.given_url() {
        return Some((None, url));
    }
    let server = Server::start(image).await.unwrap();
    let url = image.url_at(&server.address());
    Some((Some(server), url))
}

/// Returns PostgreSQL behind PgBouncer in transaction mode and its URL, or `None` if it is to be
/// skipped.
async fn start_behind_pgbouncer() -> Option<(Option<Server>, String)> {
    if skipped(POSTGRES.name) {
        eprintln!("pgbouncer: skipped");
        return None;
    }
    let server = pgbouncer::start_in_transaction_mode().await.unwrap()?;
    let url = pgbouncer::IMAGE.url_at(&server.address());
    Some((Some(server), url))
}

/// Returns a namespace of this process alone.
fn namespace() -> Namespace {
    Namespace::new(format!("fence_{}", std::process::id())).unwrap()
}

fn term(name: &str, token: u64) -> Term {
    Term::new(&LockName::new(name).unwrap(), FencingToken::new(token).unwrap())
}

async fn serializable_on_postgres(
    connection: &mut PgConnection,
) -> sqlx::Result<Transaction<'_, sqlx::Postgres>> {
    connection.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await
}

async fn serializable_on_mysql(
    connection: &mut MySqlConnection,
) -> sqlx::Result<Transaction<'_, sqlx::MySql>> {
    // This sets the level of the next transaction only.
    let level = sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
    level.execute(&mut *connection).await?;
    connection.begin().await
}

/// This query counts the locks for which sessions wait that have locked a table.
const WAITS_ON_POSTGRES: &str = "SELECT count(*) FROM pg_locks AS w WHERE NOT w.granted AND EXISTS \
     (SELECT FROM pg_locks AS r WHERE r.pid = w.pid AND r.relation = '{}'::regclass)";

mod postgres {
    use super::*;

    cases!(
        sqlx::Postgres,
        start(&POSTGRES),
        serializable_on_postgres,
        "SELECT pg_backend_pid()::bigint",
        true,
        "BEGIN; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
        "ROLLBACK",
        WAITS_ON_POSTGRES,
        Some("SET default_transaction_read_only = on")
    );
}

mod behind_pgbouncer {
    use super::*;

    cases!(
        sqlx::Postgres,
        start_behind_pgbouncer(),
        serializable_on_postgres,
        "SELECT pg_backend_pid()::bigint",
        true,
        "BEGIN; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
        "ROLLBACK",
        WAITS_ON_POSTGRES,
        None
    );
}

mod mysql {
    use super::*;

    cases!(
        sqlx::MySql,
        start(&MYSQL),
        serializable_on_mysql,
        "SELECT CAST(CONNECTION_ID() AS SIGNED)",
        true,
        "LOCK TABLES {} WRITE",
        "UNLOCK TABLES",
        "SELECT COUNT(*) FROM performance_schema.data_lock_waits AS w \
         JOIN performance_schema.data_locks AS l \
             ON l.engine_lock_id = w.requesting_engine_lock_id WHERE l.object_name = '{}'",
        Some("SET SESSION TRANSACTION READ ONLY")
    );
}

mod mariadb {
    use super::*;

    // MariaDB does not show which sessions hold a lock for which no other session waits any longer.
    cases!(
        sqlx::MySql,
        start(&MARIADB),
        serializable_on_mysql,
        "SELECT CAST(CONNECTION_ID() AS SIGNED)",
        false,
        "LOCK TABLES {} WRITE",
        "UNLOCK TABLES",
        "SELECT COUNT(*) FROM information_schema.innodb_lock_waits AS w \
         JOIN information_schema.innodb_locks AS l ON l.lock_id = w.requested_lock_id \
         WHERE l.lock_table LIKE '%{}%'",
        Some("SET SESSION TRANSACTION READ ONLY")
    );
}
