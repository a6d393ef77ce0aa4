//! These cases cover paths and files that cannot be used as a database.

use std::fs;
use std::path::Path;

use leasehold::sqlite::SqliteStore;
use leasehold::{Error, ErrorKind, LeaseId, LockStore, OpenOptions, url};
use leasehold_conformance::{CaseResult, Failure};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::support::{asking, grant, name, open, place};

async fn refused(path: impl AsRef<Path>) -> Error {
    let error = SqliteStore::open(&path, &OpenOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains(&path.as_ref().display().to_string()), "{error}");
    error
}

pub(super) async fn a_non_database_file_is_left_unchanged() -> CaseResult {
    let (folder, _) = place();
    let long = "no database. ".repeat(1000);
    for (file, text) in
        [("one", "x"), ("two", "xy"), ("text", "these are notes, not locks\n"), ("long", &long)]
    {
        let path = folder.path().join(file);
        fs::write(&path, text).unwrap();
        let error = refused(&path).await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("not an SQLite database"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
    Ok(())
}

pub(super) async fn a_path_that_is_not_a_file_is_refused() -> CaseResult {
    let (folder, _) = place();
    let error = refused(folder.path()).await;
    assert!(error.is_invalid() && error.to_string().contains("directory"), "{error}");
    let error = refused(folder.path().join("none").join("x.db")).await;
    assert!(error.to_string().contains("does not exist"), "{error}");
    Ok(())
}

pub(super) async fn an_unwritable_folder_is_denied() -> CaseResult {
    if !cfg!(target_os = "linux") {
        return Err(Failure::ignored("this system has no /proc"));
    }
    let error = refused("/proc/leasehold.db").await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(refused("/dev/null").await.is_invalid());
    Ok(())
}

pub(super) async fn an_empty_file_becomes_a_database() -> CaseResult {
    let (_folder, path) = place();
    fs::write(&path, "").unwrap();
    grant(&open(&path).await, "a", LeaseId::new()).await;
    Ok(())
}

pub(super) async fn a_read_only_database_denies_writes() -> CaseResult {
    let (_folder, path) = place();
    open(&path).await;
    let options = SqliteConnectOptions::new().filename(&path).read_only(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let store = SqliteStore::from_pool(pool, &OpenOptions::default()).await.unwrap();
    let error = store.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().starts_with("acquire of lock \"a\" on sqlite:/"), "{error}");
    assert!(store.list(&Default::default()).await.unwrap().is_empty());
    Ok(())
}

pub(super) async fn a_path_in_a_url_is_taken_literally() -> CaseResult {
    let (folder, _) = place();
    for file in ["a b?mode#x%41.db", "ü.db", ":memory:"] {
        let path = folder.path().join(file);
        let url = format!("sqlite:{}", path.display());
        let store = url::open(&url, &OpenOptions::default()).await.unwrap();
        assert_eq!(store.label(), url);
        assert!(path.is_file(), "{file}");
    }
    let store = url::open("sqlite::memory:", &OpenOptions::default()).await.unwrap();
    assert_eq!(store.label(), "sqlite::memory:");
    Ok(())
}

pub(super) async fn a_locked_database_is_unavailable() -> CaseResult {
    let (_folder, path) = place();
    let (one, two) = (open(&path).await, open(&path).await);
    let mut blocker = one.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = two.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    // Reads continue, and nothing was written.
    sqlx::query("SELECT 1").execute(&mut *blocker).await.unwrap();
    assert!(two.get(&name("a")).await.unwrap().is_none());
    blocker.rollback().await.unwrap();
    grant(&two, "a", LeaseId::new()).await;
    Ok(())
}

pub(super) async fn a_full_disk_loses_no_data_and_no_connection() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    let lease = LeaseId::new();
    grant(&store, "a", lease).await;
    let options = SqliteConnectOptions::new().filename(&path).pragma("max_page_count", "5");
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options);
    let full = SqliteStore::from_pool(pool.await.unwrap(), &OpenOptions::default()).await.unwrap();
    let mut granted = 0;
    let error = loop {
        let lock = name(&format!("{granted:0>200}"));
        match full.acquire(&lock, &asking(LeaseId::new())).await {
            Ok(_) => granted += 1,
            Err(error) => break error,
        }
    };
    assert!(error.is_unavailable() && error.to_string().contains("full"), "{error}");
    full.release(&name("a"), lease).await.unwrap();
    assert_eq!(store.list(&Default::default()).await.unwrap().len(), granted + 1);
    Ok(())
}
