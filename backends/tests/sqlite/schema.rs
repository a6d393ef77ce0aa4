use leasehold::sqlite::SqliteStore;
use leasehold::{ErrorKind, LeaseId, LockStore, Namespace, OpenOptions, Schema};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};

use crate::{grant, name, open, place};

const REQUIRED: fn() -> OpenOptions =
    || OpenOptions { schema: Schema::Require, ..OpenOptions::default() };

async fn plain_pool(path: &std::path::Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqlitePool::connect_with(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_may_create_it_at_once() {
    for _ in 0..5 {
        let (_folder, path) = place();
        let opens = (0..16).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { SqliteStore::open(path, &OpenOptions::default()).await })
        });
        let mut stores = Vec::new();
        for open in opens.collect::<Vec<_>>() {
            stores.push(open.await.unwrap().unwrap());
        }
        let lease = LeaseId::new();
        let first = grant(&stores[0], "a", lease).await;
        for store in &stores {
            assert_eq!(grant(store, "a", lease).await.token, first.token);
        }
    }
}

#[tokio::test]
async fn opening_what_is_in_place_writes_nothing() {
    let (_folder, path) = place();
    grant(&open(&path).await, "a", LeaseId::new()).await;
    // Whoever connects like this may change nothing, the schema least of all.
    let options = SqliteConnectOptions::new().filename(&path).pragma("query_only", "ON");
    let pool = SqlitePool::connect_with(options).await.unwrap();
    for options in [OpenOptions::default(), REQUIRED()] {
        let store = SqliteStore::from_pool(pool.clone(), &options).await.unwrap();
        assert!(store.get(&name("a")).await.unwrap().unwrap().lease.is_some());
        let lease = store.get(&name("a")).await.unwrap().unwrap().lease.unwrap();
        let refused = store.release(&name("a"), lease.id).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Denied, "{refused}");
    }
}

#[tokio::test]
async fn what_is_missing_is_created_only_if_that_is_allowed() {
    let (_folder, path) = place();
    let error = SqliteStore::open(&path, &REQUIRED()).await.unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("no such database"), "{error}");
    assert!(!path.exists());

    let pool = plain_pool(&path).await;
    let error = SqliteStore::from_pool(pool.clone(), &REQUIRED()).await.unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("leasehold_locks"), "{error}");

    let script = SqliteStore::schema(&Namespace::default()).unwrap();
    for _ in 0..2 {
        sqlx::raw_sql(sqlx::AssertSqlSafe(script.clone())).execute(&pool).await.unwrap();
    }
    SqliteStore::from_pool(pool, &REQUIRED()).await.unwrap();
    SqliteStore::open(&path, &REQUIRED()).await.unwrap();
}

#[tokio::test]
async fn the_printed_schema_is_the_one_that_is_made() {
    let options = OpenOptions { namespace: Namespace::new("app_2").unwrap(), ..Default::default() };
    let script = leasehold::url::schema("sqlite:x", &options).unwrap();
    assert_eq!(script, SqliteStore::schema(&options.namespace).unwrap());
    assert!(script.contains("app_2_locks"));
}

#[tokio::test]
async fn another_table_of_that_name_is_refused() {
    let (_folder, path) = place();
    let pool = plain_pool(&path).await;
    sqlx::query("CREATE TABLE leasehold_locks (name TEXT)").execute(&pool).await.unwrap();
    let error = SqliteStore::open(&path, &OpenOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("leasehold_locks"), "{error}");

    let options =
        OpenOptions { namespace: Namespace::new("sqlite").unwrap(), ..Default::default() };
    assert!(SqliteStore::open(&path, &options).await.unwrap_err().is_invalid());
}

#[tokio::test]
async fn a_table_that_is_lost_meanwhile_is_reported() {
    let (_folder, path) = place();
    let store = open(&path).await;
    crate::sql(&store, "DROP TABLE leasehold_locks").await;
    let error = store.get(&name("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn namespaces_are_apart_in_one_file() {
    let (_folder, path) = place();
    let one = open(&path).await;
    let options = OpenOptions { namespace: Namespace::new("two").unwrap(), ..Default::default() };
    let two = SqliteStore::open(&path, &options).await.unwrap();
    grant(&one, "a", LeaseId::new()).await;
    assert!(two.get(&name("a")).await.unwrap().is_none());
    grant(&two, "a", LeaseId::new()).await;
}

#[tokio::test]
async fn an_applications_pool_is_used_as_it_is() {
    let (_folder, path) = place();
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Delete);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let store = SqliteStore::from_pool(pool.clone(), &OpenOptions::default()).await.unwrap();
    grant(&store, "a", LeaseId::new()).await;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&pool).await.unwrap();
    assert_eq!(mode, "delete");
    assert_eq!(store.label(), format!("sqlite:{}", path.canonicalize().unwrap().display()));
}

#[tokio::test]
async fn a_pool_in_memory_will_do() {
    for url in ["private", "shared"] {
        let pool =
            SqlitePoolOptions::new().min_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = match url {
            "private" => pool.max_connections(1).connect_with(SqliteConnectOptions::new()).await,
            _ => pool.max_connections(4).connect("sqlite::memory:").await,
        };
        let store = SqliteStore::from_pool(pool.unwrap(), &OpenOptions::default()).await.unwrap();
        let again = SqliteStore::from_pool(store.pool().clone(), &REQUIRED()).await.unwrap();
        let lease = LeaseId::new();
        let first = grant(&store, "a", lease).await;
        assert_eq!(grant(&again, "a", lease).await.token, first.token);
        assert_eq!(store.capabilities().reach, leasehold::Reach::Process);
        assert_eq!(store.label(), "sqlite::memory:");
    }
}

#[tokio::test]
async fn text_in_another_encoding_is_refused() {
    let (_folder, path) = place();
    let pool = plain_pool(&path).await;
    let mut connection = pool.acquire().await.unwrap();
    sqlx::raw_sql("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (a)")
        .execute(&mut *connection)
        .await
        .unwrap();
    let error = SqliteStore::open(&path, &OpenOptions::default()).await.unwrap_err();
    assert!(error.is_unsupported(), "{error}");
}
