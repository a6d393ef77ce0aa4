//! This module has helpers that the cases of SQLite share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use leasehold::sqlite::SqliteStore;
use leasehold::{
    AcquireOptions, AcquireOutcome, DisableOptions, EnterOptions, Grant, Holder, LeaseId, LockKind,
    LockName, LockStore, OpenOptions, Reason, RenewOptions, Schema,
};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;

pub(super) const TTL: Duration = Duration::from_secs(30);

/// Returns a folder for one test, and a path for a database in it.
pub(super) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks.db");
    (folder, path)
}

pub(super) async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, &OpenOptions::default()).await.unwrap()
}

pub(super) fn name(text: &str) -> LockName {
    LockName::new(text).unwrap()
}

pub(super) fn asking(lease: LeaseId) -> AcquireOptions {
    AcquireOptions::new(lease, Holder::current(), TTL)
}

/// Returns the options of an attempt to enter the queue of a fair lock.
pub(super) fn entering(lease: LeaseId) -> EnterOptions {
    EnterOptions::new(lease, Holder::current(), TTL, LockKind::Fair)
}

pub(super) async fn enter(store: &SqliteStore, lock: &str, lease: LeaseId) -> AcquireOutcome {
    store.enter(&name(lock), &entering(lease)).await.unwrap()
}

pub(super) fn entry_renewal(lock: &str, lease: LeaseId) -> RenewOptions {
    RenewOptions::new(name(lock), lease, TTL).of_entry(true)
}

pub(super) fn disabling(reason: &str) -> DisableOptions {
    DisableOptions::new(Reason::new(reason).unwrap())
}

pub(super) async fn grant(store: &SqliteStore, lock: &str, lease: LeaseId) -> Grant {
    match store.acquire(&name(lock), &asking(lease)).await.unwrap() {
        AcquireOutcome::Granted(grant) => grant,
        other => panic!("{lock} is not free: {other:?}"),
    }
}

pub(super) async fn sql(store: &SqliteStore, statement: &'static str) {
    sqlx::query(statement).execute(store.pool()).await.unwrap();
}

/// Returns the options of a store that creates no table.
pub(super) fn required() -> OpenOptions {
    OpenOptions::default().with_schema(Schema::Require)
}

/// Returns a pool as an application has one, and creates the database.
pub(super) async fn plain_pool(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqlitePool::connect_with(options).await.unwrap()
}
