//! These cases cover the hints of watches.

use std::fs;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::{Hint, HintStream, LeaseId, LockStore, RenewOptions};
use leasehold_conformance::{CaseResult, Failure};
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::support::{TTL, disabling, grant, name, open, place, sql};

/// Protects against a hint that never comes.
const HANG: Duration = Duration::from_secs(30);

pub(super) async fn a_watch_hints_at_changes_of_other_processes() -> CaseResult {
    let (_folder, path) = place();
    let (one, two) = (open(&path).await, open(&path).await);
    let lease = LeaseId::new();
    grant(&one, "a", lease).await;
    let mut hints = two.watch().await.unwrap();
    one.renew(&[RenewOptions::new(name("a"), lease, TTL)]).await.unwrap();
    assert!(timeout(Duration::from_millis(300), hints.next()).await.is_err());
    for step in ["release", "disable", "enable"] {
        match step {
            "release" => drop(one.release(&name("a"), lease).await.unwrap()),
            "disable" => drop(one.disable(&name("a"), &disabling("x")).await.unwrap()),
            _ => drop(one.enable(&name("a")).await.unwrap()),
        }
        let hint = timeout(Duration::from_secs(5), hints.next()).await.expect(step);
        assert_eq!(hint, Some(Hint::Name(name("a"))), "{step}");
    }
    // This also works if the row with the latest signal was deleted.
    sql(&one, "DELETE FROM leasehold_locks").await;
    one.disable(&name("b"), &disabling("x")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Name(name("b"))));
    two.pool().close().await;
    assert_eq!(hints.next().await, None);
    Ok(())
}

/// Other processes are notified when the times of the file are set. A heartbeat would wake all of
/// them.
pub(super) async fn changes_set_the_times_of_the_file_and_heartbeats_do_not() -> CaseResult {
    if !cfg!(target_os = "linux") {
        return Err(Failure::ignored("this system does not notify of files"));
    }
    let (_folder, path) = place();
    let store = open(&path).await;
    let lease = LeaseId::new();
    grant(&store, "a", lease).await;
    let renewal = [RenewOptions::new(name("a"), lease, TTL)];
    for step in ["renew", "disable", "renew", "enable", "release", "acquire"] {
        let before = fs::metadata(&path)?.modified()?;
        // The times of a file system are coarse.
        tokio::time::sleep(Duration::from_millis(50)).await;
        match step {
            "renew" => drop(store.renew(&renewal).await?),
            "disable" => drop(store.disable(&name("a"), &disabling("x")).await?),
            "enable" => drop(store.enable(&name("a")).await?),
            "release" => drop(store.release(&name("a"), lease).await?),
            _ => drop(grant(&store, "a", LeaseId::new()).await),
        }
        let is_set = fs::metadata(&path)?.modified()? != before;
        assert_eq!(is_set, ["disable", "enable", "release"].contains(&step), "{step}");
    }
    Ok(())
}

/// An earlier version of the store announces no changes.
pub(super) async fn a_change_that_is_not_announced_is_noticed() -> CaseResult {
    let (_folder, path) = place();
    let (one, two) = (open(&path).await, open(&path).await);
    grant(&one, "a", LeaseId::new()).await;
    let mut hints = two.watch().await.unwrap();
    for _ in 0..2 {
        sql(
            &one,
            "UPDATE leasehold_locks SET signal = 1 + (SELECT max(signal) FROM leasehold_locks)",
        )
        .await;
        hinted(&mut hints, "a").await;
    }
    Ok(())
}

pub(super) async fn an_unpolled_watch_holds_no_connection() -> CaseResult {
    let store = leasehold::sqlite::SqliteStore::in_memory(&Default::default()).await.unwrap();
    let mut hints = store.watch().await.unwrap();
    for _ in 0..20 {
        // Abandons the stream's future at any point, without dropping it.
        let pause = Duration::from_millis(fastrand::u64(40..60));
        assert!(timeout(pause, hints.next()).await.is_err());
        timeout(Duration::from_secs(2), store.get(&name("a"))).await.unwrap().unwrap();
    }
    Ok(())
}

async fn hinted(hints: &mut HintStream, lock: &str) {
    let wait = async {
        while let Some(hint) = hints.next().await {
            if hint == Hint::Name(name(lock)) {
                return;
            }
        }
        panic!("the watch ended");
    };
    timeout(HANG, wait).await.unwrap();
}

pub(super) async fn all_watches_of_a_store_get_hints_and_so_does_a_later_one() -> CaseResult {
    let (_folder, path) = place();
    let (one, two) = (open(&path).await, open(&path).await);
    let mut watches = Vec::new();
    for _ in 0..20 {
        watches.push(two.watch().await.unwrap());
    }
    one.disable(&name("a"), &disabling("x")).await.unwrap();
    for hints in &mut watches {
        hinted(hints, "a").await;
    }
    drop(watches);
    for lock in ["b", "c", "d"] {
        let mut hints = two.watch().await.unwrap();
        one.disable(&name(lock), &disabling("x")).await.unwrap();
        hinted(&mut hints, lock).await;
    }
    Ok(())
}

pub(super) async fn a_watch_survives_the_runtime_of_another_watch() -> CaseResult {
    // A worker thread of a runtime must not wait for another runtime.
    spawn_blocking(watch_on_two_runtimes).await?;
    Ok(())
}

fn watch_on_two_runtimes() {
    let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_folder, path) = place();
    let (first, second) = (runtime(), runtime());
    let (store, begun) = first.block_on(async {
        let store = open(&path).await;
        let begun = store.watch().await.unwrap();
        (store, begun)
    });
    let mut hints = second.block_on(store.watch()).unwrap();
    first.shutdown_background();
    second.block_on(async {
        store.disable(&name("a"), &disabling("x")).await.unwrap();
        let wait = async { hints.next().await.unwrap() };
        timeout(HANG, wait).await.unwrap();
        store.disable(&name("b"), &disabling("x")).await.unwrap();
        hinted(&mut hints, "b").await;
    });
    drop(begun);
}
