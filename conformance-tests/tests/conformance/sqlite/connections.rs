//! These cases cover leases that are renewed and released although the pool has no connection left.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::sqlite::SqliteStore;
use leasehold::{
    AcquireOutcome, LeaseId, LockStore, OpenOptions, PruneOptions, ReleaseOutcome, RenewOptions,
    RenewOutcome,
};
use leasehold_conformance::CaseResult;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tokio::time::timeout;

use super::support::{TTL, asking, grant, name, open, place};

async fn extended(store: &SqliteStore, lock: &str, lease: LeaseId) {
    let renewal = RenewOptions::new(name(lock), lease, TTL);
    let renewed = store.renew(&[renewal]).await.unwrap();
    assert!(matches!(renewed[..], [RenewOutcome::Extended { .. }]), "{renewed:?}");
}

pub(super) async fn a_long_query_on_the_applications_pool_loses_no_lease() -> CaseResult {
    let (_folder, path) = place();
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(2));
    let pool = pool.connect_with(options).await.unwrap();
    let store = SqliteStore::from_pool(pool.clone(), &OpenOptions::default()).await.unwrap();
    let lease = LeaseId::new();
    grant(&store, "a", lease).await;
    // The statement reads the table, and does not end while its rows are not fetched.
    let endless = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) \
         SELECT n, name FROM numbers, leasehold_locks";
    let mut rows = sqlx::query(endless).fetch(&pool);
    rows.next().await.unwrap().unwrap();
    // A call that needs the pool delays neither a renewal nor an acquire.
    let other = store.clone();
    let all = PruneOptions::default().with_dry_run(false);
    let waiting = tokio::spawn(async move { other.prune(&all).await });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        extended(&store, "a", lease).await;
    }
    grant(&store, "b", LeaseId::new()).await;
    assert!(waiting.await.unwrap().unwrap_err().is_unavailable());
    assert_eq!(store.release(&name("a"), lease).await.unwrap(), ReleaseOutcome::Released);
    rows.next().await.unwrap().unwrap();
    Ok(())
}

pub(super) async fn slow_reads_on_all_store_connections_lose_no_lease() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    let lease = LeaseId::new();
    grant(&store, "a", lease).await;
    let mut held = Vec::new();
    for _ in 0..store.pool().options().get_max_connections() {
        held.push(store.pool().acquire().await.unwrap());
    }
    extended(&store, "a", lease).await;
    grant(&store, "b", LeaseId::new()).await;
    assert_eq!(store.release(&name("a"), lease).await.unwrap(), ReleaseOutcome::Released);
    Ok(())
}

/// The application blocks the threads that would poll the call.
pub(super) async fn a_call_that_is_not_polled_delays_no_heartbeat() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    let lease = LeaseId::new();
    grant(&store, "a", lease).await;
    let (other, options) = (name("b"), asking(LeaseId::new()));
    let mut call = pin!(store.acquire(&other, &options));
    let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let renewed = timeout(Duration::from_secs(60), extended(&store, "a", lease)).await;
    assert!(renewed.is_ok(), "the renewal waits for the call");
    Ok(())
}

/// Many clients may ask for a name that is held. They do not wait for each other, or for a writer.
pub(super) async fn a_held_name_is_refused_while_another_process_writes() -> CaseResult {
    let (_folder, path) = place();
    let (one, two) = (open(&path).await, open(&path).await);
    let held = grant(&one, "a", LeaseId::new()).await;
    let writer = one.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let outcome = two.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap();
    assert!(
        matches!(&outcome, AcquireOutcome::Held(other) if other.token == held.token),
        "{outcome:?}"
    );
    writer.rollback().await.unwrap();
    Ok(())
}

/// What is written in such a transaction is not committed.
pub(super) async fn a_grant_is_not_part_of_a_transaction_that_the_application_left_open()
-> CaseResult {
    let (_folder, path) = place();
    let other = open(&path).await;
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect_with(SqliteConnectOptions::new().filename(&path)).await.unwrap();
    sqlx::query("BEGIN").execute(&pool).await.unwrap();
    let store = SqliteStore::from_pool(pool, &OpenOptions::default()).await.unwrap();
    grant(&store, "a", LeaseId::new()).await;
    assert!(other.get(&name("a")).await.unwrap().unwrap().lease.is_some());
    Ok(())
}

pub(super) async fn a_store_on_a_closed_pool_grants_nothing() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    let lease = LeaseId::new();
    grant(&store, "a", lease).await;
    store.pool().close().await;
    let error = store.acquire(&name("b"), &asking(LeaseId::new())).await.unwrap_err();
    assert!(error.is_unavailable() && error.to_string().contains("closed"), "{error}");
    assert_eq!(store.release(&name("a"), lease).await.unwrap(), ReleaseOutcome::Released);
    Ok(())
}
