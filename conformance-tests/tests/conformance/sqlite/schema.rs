//! These cases cover the creation of the schema, and the files and pools that it may be created in.

use leasehold::sqlite::SqliteStore;
use leasehold::{ErrorKind, LeaseId, LockStore, Namespace, OpenOptions, Reach};
use leasehold_conformance::CaseResult;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};

use super::support::{grant, name, open, place, plain_pool, required, sql};

pub(super) async fn sixteen_processes_can_create_the_schema_at_once() -> CaseResult {
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
    Ok(())
}

pub(super) async fn opening_an_existing_schema_writes_nothing() -> CaseResult {
    let (_folder, path) = place();
    grant(&open(&path).await, "a", LeaseId::new()).await;
    // Such a connection may change nothing, and in particular not the schema.
    let options = SqliteConnectOptions::new().filename(&path).pragma("query_only", "ON");
    let pool = SqlitePool::connect_with(options).await.unwrap();
    for options in [OpenOptions::default(), required()] {
        let store = SqliteStore::from_pool(pool.clone(), &options).await.unwrap();
        assert!(store.get(&name("a")).await.unwrap().unwrap().lease.is_some());
        let lease = store.get(&name("a")).await.unwrap().unwrap().lease.unwrap();
        let refused = store.release(&name("a"), lease.id).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Denied, "{refused}");
    }
    Ok(())
}

pub(super) async fn missing_tables_are_created_only_if_allowed() -> CaseResult {
    let (_folder, path) = place();
    let error = SqliteStore::open(&path, &required()).await.unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("does not exist"), "{error}");
    assert!(!path.exists());

    let pool = plain_pool(&path).await;
    let error = SqliteStore::from_pool(pool.clone(), &required()).await.unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("leasehold_locks"), "{error}");

    let script = SqliteStore::schema(&Namespace::default()).unwrap();
    for _ in 0..2 {
        sqlx::raw_sql(AssertSqlSafe(script.clone())).execute(&pool).await.unwrap();
    }
    SqliteStore::from_pool(pool, &required()).await.unwrap();
    SqliteStore::open(&path, &required()).await.unwrap();
    Ok(())
}

pub(super) async fn the_printed_schema_equals_the_created_one() -> CaseResult {
    let options = OpenOptions::default().with_namespace(Namespace::new("app_2").unwrap());
    let script = leasehold::url::schema("sqlite:x", &options).unwrap();
    assert_eq!(script, SqliteStore::schema(&options.namespace).unwrap());
    assert!(script.contains("app_2_locks"));
    Ok(())
}

pub(super) async fn another_table_of_that_name_is_refused() -> CaseResult {
    let (_folder, path) = place();
    let pool = plain_pool(&path).await;
    sqlx::query("CREATE TABLE leasehold_locks (name TEXT)").execute(&pool).await.unwrap();
    let error = SqliteStore::open(&path, &OpenOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("leasehold_locks"), "{error}");

    let options = OpenOptions::default().with_namespace(Namespace::new("sqlite").unwrap());
    assert!(SqliteStore::open(&path, &options).await.unwrap_err().is_invalid());
    Ok(())
}

pub(super) async fn a_table_dropped_at_run_time_is_reported() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    sql(&store, "DROP TABLE leasehold_locks").await;
    let error = store.get(&name("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    Ok(())
}

pub(super) async fn namespaces_in_one_file_are_separate() -> CaseResult {
    let (_folder, path) = place();
    let one = open(&path).await;
    let options = OpenOptions::default().with_namespace(Namespace::new("two").unwrap());
    let two = SqliteStore::open(&path, &options).await.unwrap();
    grant(&one, "a", LeaseId::new()).await;
    assert!(two.get(&name("a")).await.unwrap().is_none());
    grant(&two, "a", LeaseId::new()).await;
    Ok(())
}

pub(super) async fn an_applications_pool_is_not_reconfigured() -> CaseResult {
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
    Ok(())
}

pub(super) async fn an_in_memory_pool_works() -> CaseResult {
    for url in ["private", "shared"] {
        let pool =
            SqlitePoolOptions::new().min_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = match url {
            "private" => pool.max_connections(1).connect_with(SqliteConnectOptions::new()).await,
            _ => pool.max_connections(4).connect("sqlite::memory:").await,
        };
        let store = SqliteStore::from_pool(pool.unwrap(), &OpenOptions::default()).await.unwrap();
        let again = SqliteStore::from_pool(store.pool().clone(), &required()).await.unwrap();
        let lease = LeaseId::new();
        let first = grant(&store, "a", lease).await;
        assert_eq!(grant(&again, "a", lease).await.token, first.token);
        assert_eq!(store.capabilities().reach, Reach::Process);
        assert_eq!(store.label(), "sqlite::memory:");
    }
    Ok(())
}

pub(super) async fn text_in_another_encoding_is_refused() -> CaseResult {
    let (_folder, path) = place();
    let pool = plain_pool(&path).await;
    let mut connection = pool.acquire().await.unwrap();
    sqlx::raw_sql("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (a)")
        .execute(&mut *connection)
        .await
        .unwrap();
    let error = SqliteStore::open(&path, &OpenOptions::default()).await.unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}
