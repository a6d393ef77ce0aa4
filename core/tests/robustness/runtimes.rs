//! These tests cover a runtime that is missing, shut down or idle.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use leasehold_core::{Client, MemoryStore, Settings};

use super::{ms, secs, waiting_job};

fn finishes(limit: Duration, call: impl FnOnce() + Send + 'static) -> bool {
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
        let _ = done.send(());
    });
    finished.recv_timeout(limit).is_ok()
}

#[test]
fn observe_outside_a_runtime_panics_as_documented() {
    let client = Client::new(MemoryStore::new()).unwrap();
    assert!(
        finishes(secs(60), move || drop(client.observe("a"))),
        "the call hangs instead of panicking"
    );
}
#[test]
fn spawn_while_the_runtime_shuts_down_does_not_hang() {
    let rt = tokio::runtime::Runtime::new().unwrap();
    let handle = rt.handle().clone();
    drop(rt);
    let client = Client::new(MemoryStore::new()).unwrap();
    assert!(
        finishes(secs(60), move || {
            let _in = handle.enter();
            drop(client.election("a").unwrap().spawn(waiting_job()));
        }),
        "the call hangs"
    );
}
#[test]
fn leases_are_kept_when_the_first_runtime_goes_idle() {
    // On a busy machine heartbeats may be too late for a short lease, but not for every longer one.
    let held = (0..6).any(|attempt| renew_in_another_runtime(ms(400) * 2_u32.pow(attempt)));
    assert!(held, "the lease was lost although the store works");
}
fn renew_in_another_runtime(ttl: Duration) -> bool {
    let a = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::builder(Arc::new(MemoryStore::new()))
        .settings(Settings::new().ttl(ttl))
        .build()
        .unwrap();
    a.block_on(async {
        let guard = client.lock("x").unwrap().acquire(secs(60)).await.unwrap();
        tokio::time::sleep(ms(10)).await;
        guard.release().await.unwrap();
    });
    // `a` still exists, but nobody drives it.
    let b =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let held = b.block_on(async {
        let guard = client.lock("y").unwrap().acquire(secs(60)).await.unwrap();
        tokio::time::sleep(ttl * 5 / 2).await;
        guard.is_held()
    });
    drop(a);
    held
}
