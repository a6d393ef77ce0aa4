//! These cases cover a database file that is deleted or replaced while it is in use.

use std::fs;
use std::path::{Path, PathBuf};

use leasehold::sqlite::{FileChanged, SqliteStore};
use leasehold::{ErrorKind, LeaseId, LockStore, OpenOptions, RenewOptions, RenewOutcome};
use leasehold_conformance::CaseResult;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use super::support::{TTL, asking, disabling, grant, name, open, place, sql};

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// These are the changes that can happen to the files, and the file that the message must name.
type Change = (&'static str, fn(&Path), &'static str);

const CHANGES: [Change; 5] = [
    ("rm", |path| fs::remove_file(path).unwrap(), "locks.db\" was deleted"),
    (
        "mv of another over it",
        |path| {
            let other = beside(path, ".new");
            fs::copy(path, &other).unwrap();
            fs::rename(other, path).unwrap();
        },
        "locks.db\" was replaced",
    ),
    (
        "rm, and created again",
        |path| {
            fs::remove_file(path).unwrap();
            fs::write(path, "").unwrap();
        },
        "locks.db\" was replaced",
    ),
    ("rm of -wal", |path| fs::remove_file(beside(path, "-wal")).unwrap(), "-wal\" was deleted"),
    ("rm of -shm", |path| fs::remove_file(beside(path, "-shm")).unwrap(), "-shm\" was deleted"),
];

async fn on_own_pool(path: &Path) -> SqliteStore {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let options = options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    SqliteStore::from_pool(pool, &OpenOptions::default()).await.unwrap()
}

pub(super) async fn leases_in_a_file_that_is_deleted_or_replaced_are_lost() -> CaseResult {
    for (what, change, message) in CHANGES {
        for application in [false, true] {
            let (_folder, path) = place();
            let store = if application { on_own_pool(&path).await } else { open(&path).await };
            let lease = LeaseId::new();
            grant(&store, "a", lease).await;
            let renewal = RenewOptions::new(name("a"), lease, TTL);
            let renewed = store.renew(std::slice::from_ref(&renewal)).await.unwrap();
            assert!(matches!(renewed[..], [RenewOutcome::Extended { .. }]), "{what}");

            change(&path);

            let renewed = store.renew(&[renewal.clone(), renewal]).await.unwrap();
            assert_eq!(renewed, [RenewOutcome::Lost, RenewOutcome::Lost], "{what}");
            let errors = [
                store.acquire(&name("b"), &asking(LeaseId::new())).await.err(),
                store.disable(&name("a"), &disabling("x")).await.err(),
                store.get(&name("a")).await.err(),
                store.list(&Default::default()).await.err(),
                store.release(&name("a"), lease).await.err(),
                store.instances().await.err(),
            ];
            for error in errors {
                let error = error.unwrap_or_else(|| panic!("{what}: a call succeeds"));
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
                assert!(error.to_string().contains(message), "{what}: {error}");
                let source = std::error::Error::source(&error).unwrap();
                assert!(source.is::<FileChanged>(), "{what}: {source}");
            }
        }
    }
    Ok(())
}

/// SQLite resolves the link each time when a connection is opened.
pub(super) async fn a_link_to_another_file_is_detected() -> CaseResult {
    let (folder, path) = place();
    open(&path).await;
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for application in [false, true] {
        let store = if application { on_own_pool(&link).await } else { open(&link).await };
        grant(&store, "a", LeaseId::new()).await;
        let other = folder.path().join("other.db");
        open(&other).await;
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let error = store.acquire(&name("b"), &asking(LeaseId::new())).await.unwrap_err();
        assert!(error.to_string().contains("link.db\" was replaced"), "{application}: {error}");
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        fs::remove_file(&other).unwrap();
        store.disable(&name("a"), &disabling("x")).await.unwrap();
        sql(&store, "DELETE FROM leasehold_locks").await;
    }
    Ok(())
}

/// SQLite then creates the write-ahead log again whenever no connection has it open.
pub(super) async fn another_process_may_switch_to_the_write_ahead_log() -> CaseResult {
    let (folder, path) = place();
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options.clone()).await.unwrap();
    let store = SqliteStore::from_pool(pool.clone(), &OpenOptions::default()).await.unwrap();
    let other = options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let other = SqlitePool::connect_with(other).await.unwrap();
    sqlx::query("CREATE TABLE other (a)").execute(&other).await.unwrap();
    other.close().await;
    for round in 0..3 {
        grant(&store, &format!("lock {round}"), LeaseId::new()).await;
        while pool.size() > 0 {
            let connection = pool.acquire().await.unwrap();
            sqlx::Connection::close(connection.detach()).await.unwrap();
        }
        // The log that is created next is to be another file.
        fs::write(folder.path().join(format!("file {round}")), "").unwrap();
    }
    Ok(())
}

pub(super) async fn a_file_that_is_put_back_is_used_again() -> CaseResult {
    let (folder, path) = place();
    let store = open(&path).await;
    let lease = LeaseId::new();
    grant(&store, "a", lease).await;
    let away = folder.path().join("away.db");
    fs::rename(&path, &away).unwrap();
    fs::write(&path, "").unwrap();
    for _ in 0..8 {
        store.acquire(&name("b"), &asking(LeaseId::new())).await.unwrap_err();
    }
    fs::rename(&away, &path).unwrap();
    let renewal = RenewOptions::new(name("a"), lease, TTL);
    for _ in 0..8 {
        let renewed = store.renew(std::slice::from_ref(&renewal)).await.unwrap();
        assert!(matches!(renewed[..], [RenewOutcome::Extended { .. }]), "{renewed:?}");
    }
    Ok(())
}

/// SQLite removes the write-ahead log when the last connection is closed, and creates it again.
pub(super) async fn an_application_may_close_its_connections() -> CaseResult {
    let (_folder, path) = place();
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let options = options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let store = SqliteStore::from_pool(pool.clone(), &OpenOptions::default()).await.unwrap();
    let lease = LeaseId::new();
    grant(&store, "a", lease).await;
    for _ in 0..5 {
        while pool.size() > 0 {
            let connection = pool.acquire().await.unwrap();
            sqlx::Connection::close(connection.detach()).await.unwrap();
        }
        let renewal = RenewOptions::new(name("a"), lease, TTL);
        let renewed = store.renew(&[renewal]).await.unwrap();
        assert!(matches!(renewed[..], [RenewOutcome::Extended { .. }]), "{renewed:?}");
    }
    Ok(())
}
