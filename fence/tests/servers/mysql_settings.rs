//! A raise and a check on MySQL and MariaDB do not depend on the settings of their session, and leave
//! them as they are.

use std::time::Duration;

use leasehold_fence::sqlx::MySqlFenceTable;
use leasehold_fence::{Namespace, Schema};
use leasehold_test_servers::catalog::{MARIADB, MYSQL};
use leasehold_test_servers::{Image, until_ready};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, MySqlPool};
use tokio::time::timeout;

use super::{namespace, start, term};

/// A call that would otherwise wait forever fails after this time.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(1200);

/// The second of these lets a commit begin another transaction, and the third lets it end the
/// session.
const SETTINGS: [&str; 3] =
    ["SET autocommit = 0", "SET completion_type = 'CHAIN'", "SET completion_type = 'RELEASE'"];

async fn settings_of(session: &mut MySqlConnection) -> String {
    let settings = "SELECT CAST(CONCAT_WS('|', @@autocommit, @@completion_type, \
         @@innodb_lock_wait_timeout, @@lock_wait_timeout) AS BINARY)";
    let settings = sqlx::query_scalar::<_, Vec<u8>>(settings).fetch_one(session).await;
    String::from_utf8(settings.unwrap()).unwrap()
}

/// At SERIALIZABLE a session locks what it reads in a transaction, so a transaction that a raise left
/// open would block the next one.
async fn a_session_with_a_setting(url: &str, setting: &'static str) -> MySqlConnection {
    let mut session = MySqlConnection::connect(url).await.unwrap();
    let serializable = "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE";
    for statement in [serializable, setting] {
        sqlx::raw_sql(statement).execute(&mut session).await.unwrap();
    }
    session
}

async fn a_raise_and_a_check_do_not_depend_on_settings(image: &Image) {
    let Some((_server, url)) = start(image).await else { return };
    let namespace = Namespace::new(format!("{}_settings", namespace())).unwrap();
    let pool = until_ready(|| MySqlPool::connect(&url)).await.unwrap();
    let table = MySqlFenceTable::open(&pool, &namespace, Schema::Create).await.unwrap();
    for setting in SETTINGS {
        let case = async {
            let mut session = a_session_with_a_setting(&url, setting).await;
            let before = settings_of(&mut session).await;
            let [first, second, third] = [7, 8, 9].map(|token| table.fence(&term(setting, token)));
            // The second raise only reads.
            for _ in 0..2 {
                first.raise_on(&mut session, LONG).await.unwrap();
            }
            assert_eq!(settings_of(&mut session).await, before, "{setting}");
            second.raise(&pool, SHORT).await.unwrap();

            let mut transaction = session.begin().await.unwrap();
            second.check(&mut transaction).await.unwrap();
            let error = third.raise(&pool, SHORT).await.unwrap_err();
            assert!(error.is_blocked(), "{setting}: {error}");
            transaction.commit().await.unwrap();
            third.raise(&pool, LONG).await.unwrap();
        };
        timeout(LONG, case).await.unwrap();
    }
    let clean = format!("DROP TABLE {namespace}_fence, {namespace}_fence_intent");
    sqlx::raw_sql(AssertSqlSafe(clean)).execute(&pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raise_and_a_check_do_not_depend_on_settings_of_mysql() {
    a_raise_and_a_check_do_not_depend_on_settings(&MYSQL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raise_and_a_check_do_not_depend_on_settings_of_mariadb() {
    a_raise_and_a_check_do_not_depend_on_settings(&MARIADB).await;
}
