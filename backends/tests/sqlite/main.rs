//! These are tests that are specific to the SQLite store. The conformance suite tests the promises
//! of all stores.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

mod cancel;
mod connections;
mod containers;
mod damage;
mod files;
mod leases;
mod replaced;
mod schema;
mod watches;

use std::path::PathBuf;
use std::time::Duration;

use leasehold::sqlite::SqliteStore;
use leasehold::{
    AcquireOptions, AcquireOutcome, DisableOptions, Grant, Holder, LeaseId, LockName, LockStore,
    OpenOptions, Reason,
};
use tempfile::TempDir;

const TTL: Duration = Duration::from_secs(30);

/// Returns a folder for one test, and a path for a database in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks.db");
    (folder, path)
}

async fn open(path: &PathBuf) -> SqliteStore {
    SqliteStore::open(path, &OpenOptions::default()).await.unwrap()
}

fn name(text: &str) -> LockName {
    LockName::new(text).unwrap()
}

fn asking(lease: LeaseId) -> AcquireOptions {
    AcquireOptions::new(lease, Holder::current(), TTL)
}

fn disabling(reason: &str) -> DisableOptions {
    DisableOptions::new(Reason::new(reason).unwrap())
}

async fn grant(store: &SqliteStore, lock: &str, lease: LeaseId) -> Grant {
    match store.acquire(&name(lock), &asking(lease)).await.unwrap() {
        AcquireOutcome::Granted(grant) => grant,
        other => panic!("{lock} is not free: {other:?}"),
    }
}

async fn sql(store: &SqliteStore, statement: &'static str) {
    sqlx::query(statement).execute(store.pool()).await.unwrap();
}
