//! These cases cover calls that are dropped before they end.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use leasehold::sqlite::SqliteStore;
use leasehold::{LeaseId, LockRecord, LockStore, OpenOptions, RenewOptions};
use leasehold_conformance::CaseResult;
use tokio::time::timeout;

use super::support::{TTL, asking, disabling, grant, name, open, place};

async fn one_operation(store: &SqliteStore, lock: &str, lease: LeaseId, which: usize) {
    let lock = name(lock);
    // The result does not matter, because the test checks what the call leaves behind.
    match which % 5 {
        0 => drop(store.acquire(&lock, &asking(lease)).await),
        1 => drop(store.renew(&[RenewOptions::new(lock, lease, TTL)]).await),
        2 => drop(store.release(&lock, lease).await),
        3 => drop(store.disable(&lock, &disabling("x")).await),
        _ => drop(store.enable(&lock).await),
    }
}

/// Asserts that after a dropped call no transaction is open and all connections work.
async fn assert_clean(store: &SqliteStore) {
    let other =
        SqliteStore::from_pool(store.pool().clone(), &OpenOptions::default()).await.unwrap();
    for i in 0..8 {
        let lease = LeaseId::new();
        let lock = format!("afterwards-{i}");
        timeout(Duration::from_secs(60), grant(&other, &lock, lease))
            .await
            .expect("a lock is left");
        other.release(&name(&lock), lease).await.unwrap();
    }
    let size = store.pool().options().get_max_connections();
    let mut all = Vec::new();
    for _ in 0..size {
        let mut connection = store.pool().acquire().await.unwrap();
        assert!(!sqlx::Connection::is_in_transaction(&*connection));
        // SQLite itself has no open transaction either, because it would refuse this statement.
        sqlx::query("BEGIN").execute(&mut *connection).await.unwrap();
        sqlx::query("ROLLBACK").execute(&mut *connection).await.unwrap();
        all.push(connection);
    }
}

pub(super) async fn a_call_can_be_dropped_at_any_step() -> CaseResult {
    for memory in [true, false] {
        let (_folder, path) = place();
        let store = match memory {
            true => SqliteStore::in_memory(&OpenOptions::default()).await.unwrap(),
            false => open(&path).await,
        };
        for which in 0..5 {
            for polls in 0..12 {
                let lease = LeaseId::new();
                {
                    let mut call = pin!(one_operation(&store, "a", lease, which));
                    for _ in 0..polls {
                        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                        if polled.is_ready() {
                            break;
                        }
                        tokio::time::sleep(Duration::from_micros(300)).await;
                    }
                }
                // All of the call happened or nothing of it, so the next call finds a valid row.
                timeout(Duration::from_secs(60), store.get(&name("a"))).await.unwrap().unwrap();
                store.enable(&name("a")).await.unwrap();
                store.release(&name("a"), lease).await.unwrap();
            }
        }
        assert_clean(&store).await;
    }
    Ok(())
}

/// Polls the call once, and waits until another store reads its effect. If the call were more than
/// one statement, it would have the write lock until it is polled again.
async fn takes_effect(
    other: &SqliteStore,
    call: impl Future,
    is_done: impl Fn(&LockRecord) -> bool,
) {
    let mut call = pin!(call);
    let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let effect = async {
        while !other.get(&name("a")).await.unwrap().is_some_and(|record| is_done(&record)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(60), effect).await.expect("the call waits for its caller");
}

pub(super) async fn a_call_ends_in_the_database_without_its_caller() -> CaseResult {
    let (_folder, path) = place();
    let (store, other) = (open(&path).await, open(&path).await);
    let (lock, lease) = (name("a"), LeaseId::new());
    grant(&store, "a", lease).await;
    let options = disabling("x");
    let disable = store.disable(&lock, &options);
    takes_effect(&other, disable, |record| record.disabled.is_some()).await;
    let enable = store.enable(&lock);
    takes_effect(&other, enable, |record| record.disabled.is_none()).await;
    let release = store.release(&lock, lease);
    takes_effect(&other, release, |record| record.lease.is_none()).await;
    Ok(())
}

pub(super) async fn concurrent_dropped_calls_leave_no_state() -> CaseResult {
    let (_folder, path) = place();
    let stores = [open(&path).await, open(&path).await];
    let crowd = (0..16).map(|task| {
        let store = stores[task % 2].clone();
        tokio::spawn(async move {
            for round in 0..60 {
                let limit = Duration::from_micros(fastrand::u64(0..1500));
                let lock = format!("lock-{}", fastrand::u8(..4));
                let call = one_operation(&store, &lock, LeaseId::new(), task + round);
                let _ = timeout(limit, call).await;
            }
        })
    });
    for task in crowd.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    for store in &stores {
        assert_clean(store).await;
    }
    Ok(())
}

pub(super) async fn an_acquire_that_is_dropped_and_retried_gets_one_grant() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    for round in 0..100 {
        let lock = format!("lock-{round}");
        let lease = LeaseId::new();
        let limit = Duration::from_micros(fastrand::u64(0..800));
        let _ = timeout(limit, store.acquire(&name(&lock), &asking(lease))).await;
        let first = grant(&store, &lock, lease).await;
        assert_eq!(grant(&store, &lock, lease).await.token, first.token);
    }
    Ok(())
}

pub(super) async fn a_dropped_open_leaves_the_file_usable() -> CaseResult {
    for micros in (0..8000).step_by(400) {
        let (_folder, path) = place();
        let options = OpenOptions::default();
        let _ = timeout(Duration::from_micros(micros), SqliteStore::open(&path, &options)).await;
        grant(&open(&path).await, "a", LeaseId::new()).await;
    }
    Ok(())
}
