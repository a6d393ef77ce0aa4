//! A user that lacks a privilege gets one clear error, and nothing is changed.

use std::fmt::Debug;
use std::time::Duration;

use leasehold_core::ErrorKind;
use leasehold_fence::sql::{Database, schema};
use leasehold_fence::sqlx::{MySqlFenceTable, PgFenceTable};
use leasehold_fence::{Error, Namespace, Result, Schema};
use leasehold_test_servers::catalog::{MARIADB, MYSQL, POSTGRES};
use leasehold_test_servers::{Image, until_ready};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, MySqlPool, PgConnection, PgPool};

use super::{namespace, start, term};

/// A call that would otherwise wait forever fails after this time.
const LONG: Duration = Duration::from_secs(60);

#[track_caller]
fn assert_denied<T: Debug>(result: Result<T>) {
    let error = result.unwrap_err();
    let Error::Datastore(denied) = &error else { panic!("{error}") };
    assert_eq!(denied.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("lacks a privilege"), "{error}");
}

async fn run_on_postgres(admin: &mut PgConnection, statements: String) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(admin).await.unwrap();
}

async fn count_on_postgres(admin: &mut PgConnection, count: String) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(admin).await.unwrap()
}

/// The user and its schema have the name of the namespace.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_of_postgres_without_a_privilege_is_refused() {
    let Some((_server, url)) = start(&POSTGRES).await else { return };
    let name = Namespace::new(format!("{}_rights", namespace())).unwrap();
    let mut admin = until_ready(|| PgConnection::connect(&url)).await.unwrap();
    let role = format!(
        "CREATE ROLE {name} LOGIN PASSWORD 'secret'; CREATE SCHEMA {name}; \
         GRANT USAGE ON SCHEMA {name} TO {name}"
    );
    run_on_postgres(&mut admin, role).await;
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.username(name.as_str()).password("secret");
    let pool = PgPool::connect_with(options).await.unwrap();

    assert_denied(PgFenceTable::open(&pool, &name, Schema::Create).await);
    let tables = format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{name}'");
    assert_eq!(count_on_postgres(&mut admin, tables).await, 0);

    run_on_postgres(&mut admin, format!("SET search_path TO {name}")).await;
    run_on_postgres(&mut admin, schema(Database::Postgres, &name)).await;
    let grant = |privileges| format!("GRANT {privileges} ON ALL TABLES IN SCHEMA {name} TO {name}");
    run_on_postgres(&mut admin, grant("SELECT, INSERT")).await;
    let table = PgFenceTable::open(&pool, &name, Schema::Require).await.unwrap();
    let fence = table.fence(&term("ledger", 7));
    assert_denied(fence.raise(&pool, LONG).await);
    let mut transaction = pool.begin().await.unwrap();
    assert_denied(fence.check(&mut transaction).await);
    transaction.rollback().await.unwrap();
    for table in ["fence", "fence_intent"] {
        let rows = format!("SELECT count(*) FROM {name}_{table}");
        assert_eq!(count_on_postgres(&mut admin, rows).await, 0);
    }

    // These are the privileges that the documentation names.
    run_on_postgres(&mut admin, grant("UPDATE")).await;
    fence.raise(&pool, LONG).await.unwrap();
    pool.close().await;
    run_on_postgres(&mut admin, format!("DROP SCHEMA {name} CASCADE; DROP ROLE {name}")).await;
}

async fn run_on_mysql(admin: &mut MySqlConnection, statements: String) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(admin).await.unwrap();
}

async fn count_on_mysql(admin: &mut MySqlConnection, count: String) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(admin).await.unwrap()
}

/// The user has the name of the namespace.
async fn a_user_without_a_privilege_is_refused(image: &Image) {
    let Some((_server, url)) = start(image).await else { return };
    let name = Namespace::new(format!("{}_rights", namespace())).unwrap();
    let mut admin = until_ready(|| MySqlConnection::connect(&url)).await.unwrap();
    let user = format!("CREATE USER {name} IDENTIFIED BY 'secret'; GRANT SELECT ON *.* TO {name}");
    run_on_mysql(&mut admin, user).await;
    let options: MySqlConnectOptions = url.parse().unwrap();
    let options = options.username(name.as_str()).password("secret");
    let refused = MySqlPool::connect_lazy_with(options.clone().password("wrong"));
    let error = MySqlFenceTable::open(&refused, &name, Schema::Create).await.unwrap_err();
    assert!(error.to_string().contains("did not accept the user and password"), "{error}");
    assert!(!error.is_transient(), "{error}");
    let pool = MySqlPool::connect_with(options).await.unwrap();

    assert_denied(MySqlFenceTable::open(&pool, &name, Schema::Create).await);
    let tables = format!(
        "SELECT COUNT(*) FROM information_schema.tables \
         WHERE table_name IN ('{name}_fence', '{name}_fence_intent')"
    );
    assert_eq!(count_on_mysql(&mut admin, tables).await, 0);

    run_on_mysql(&mut admin, schema(Database::MySql, &name)).await;
    for table in ["fence", "fence_intent"] {
        run_on_mysql(&mut admin, format!("GRANT INSERT ON {name}_{table} TO {name}")).await;
    }
    let table = MySqlFenceTable::open(&pool, &name, Schema::Require).await.unwrap();
    let fence = table.fence(&term("ledger", 7));
    assert_denied(fence.raise(&pool, LONG).await);
    for table in ["fence", "fence_intent"] {
        let rows = format!("SELECT COUNT(*) FROM {name}_{table}");
        assert_eq!(count_on_mysql(&mut admin, rows).await, 0);
    }

    // These are the privileges that the documentation names.
    for table in ["fence", "fence_intent"] {
        run_on_mysql(&mut admin, format!("GRANT UPDATE ON {name}_{table} TO {name}")).await;
    }
    fence.raise(&pool, LONG).await.unwrap();
    pool.close().await;
    let clean = format!("DROP TABLE {name}_fence, {name}_fence_intent; DROP USER {name}");
    run_on_mysql(&mut admin, clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_mysql_without_a_privilege_is_refused() {
    a_user_without_a_privilege_is_refused(&MYSQL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_mariadb_without_a_privilege_is_refused() {
    a_user_without_a_privilege_is_refused(&MARIADB).await;
}
