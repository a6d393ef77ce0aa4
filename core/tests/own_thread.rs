//! Heartbeats, releases and elections continue while the application's threads compute or block.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/faulty_store.rs"]
mod faulty_store;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use faulty_store::FaultyStore;
use futures_util::FutureExt;
use leasehold_core::{
    Client, Leadership, LockName, LockStore, Settings, Status, SystemClock, job_fn,
};
use tokio::runtime::{Builder, Runtime};

/// Leases are long, so that a busy machine loses none, and heartbeats are frequent.
fn settings() -> Settings {
    Settings::new().ttl(Duration::from_secs(60)).heartbeat_interval(Duration::from_millis(50))
}

fn client() -> (FaultyStore, Client) {
    let faulty = FaultyStore::new(Arc::new(SystemClock));
    let client = Client::builder(Arc::new(faulty.clone())).settings(settings()).build().unwrap();
    (faulty, client)
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn four_workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
}

/// Blocks the thread until the condition holds, and returns whether it did in time.
fn block_until(condition: impl Fn() -> bool) -> bool {
    let from = Instant::now();
    while !condition() {
        if from.elapsed() > Duration::from_secs(60) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Blocks the thread until more heartbeats have been sent, and returns whether they were in time.
fn renews_while_blocked(faulty: &FaultyStore) -> bool {
    let before = faulty.state.renews.load(SeqCst);
    block_until(|| faulty.state.renews.load(SeqCst) >= before + 5)
}

/// The first renewal once waited for the guard's task, which waited for the task that computes.
#[test]
fn a_guard_is_renewed_while_its_task_blocks() {
    for runtime in [four_workers(), one_thread()] {
        let (faulty, client) = client();
        let (renewed, held) = runtime.block_on(async move {
            let task = tokio::spawn(async move {
                let guard = client.lock("a").unwrap().try_acquire().await.unwrap().unwrap();
                (renews_while_blocked(&faulty), guard.is_held())
            });
            task.await.unwrap()
        });
        assert!(renewed, "no heartbeat is sent while the task computes");
        assert!(held);
    }
}

#[test]
fn a_term_is_renewed_while_its_job_blocks() {
    let (faulty, client) = client();
    let (renewed, held) = one_thread().block_on(async move {
        let (send, received) = tokio::sync::oneshot::channel();
        let send = Arc::new(std::sync::Mutex::new(Some(send)));
        let election =
            client.election("a").unwrap().spawn(job_fn(move |leadership: Leadership| {
                let (faulty, send) = (faulty.clone(), send.clone());
                async move {
                    let renewed = renews_while_blocked(&faulty);
                    if let Some(send) = send.lock().unwrap().take() {
                        send.send((renewed, leadership.is_held())).unwrap();
                    }
                    leadership.cancelled().await;
                    Ok(())
                }
            }));
        let outcome = received.await.unwrap();
        election.shutdown().await;
        outcome
    });
    assert!(renewed, "no heartbeat is sent while the job computes");
    assert!(held);
}

#[test]
fn a_dropped_guard_is_released_while_its_task_blocks() {
    let (faulty, client) = client();
    let free = one_thread().block_on(async move {
        let guard = client.lock("a").unwrap().try_acquire().await.unwrap().unwrap();
        drop(guard);
        let name = LockName::new("a").unwrap();
        // The memory store replies at once.
        let record = || faulty.inner.get(&name).now_or_never().unwrap().unwrap().unwrap();
        block_until(|| record().lease.is_none())
    });
    assert!(free);
}

/// This value sends the name of the thread that drops it.
struct Dropped(std::sync::mpsc::Sender<Option<String>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(std::thread::current().name().map(ToOwned::to_owned));
    }
}

/// A destructor that blocks would hold up the heartbeats of all clients.
#[test]
fn a_job_is_dropped_in_the_applications_runtime() {
    let (send, dropped) = std::sync::mpsc::channel();
    let (_faulty, client) = client();
    let name = one_thread().block_on(async move {
        let kept = Dropped(send);
        let election =
            client.election("a").unwrap().spawn(job_fn(move |leadership: Leadership| {
                let _ = &kept;
                async move {
                    leadership.cancelled().await;
                    Ok(())
                }
            }));
        election.watch().wait_for(Status::is_leading).await.unwrap();
        election.shutdown().await;
        tokio::task::yield_now().await;
        tokio::task::spawn_blocking(move || dropped.recv_timeout(Duration::from_secs(60)).unwrap())
            .await
            .unwrap()
    });
    assert_ne!(name.as_deref(), Some("leasehold"));
}

/// The first election's runtime still exists, but nobody drives it.
#[test]
fn shutdown_does_not_wait_for_an_idle_runtime() {
    let (faulty, client) = client();
    faulty.state.announces.store(true, SeqCst);
    let job = || {
        job_fn(|leadership: Leadership| async move {
            leadership.cancelled().await;
            Ok(())
        })
    };
    let idle = one_thread();
    let first = idle.block_on(async {
        let election = client.election("a").unwrap().spawn(job());
        election.watch().wait_for(Status::is_leading).await.unwrap();
        election
    });
    let ended = one_thread().block_on(async {
        let election = client.election("b").unwrap().spawn(job());
        election.watch().wait_for(Status::is_leading).await.unwrap();
        election.shutdown_within(Duration::from_secs(60)).await
    });
    assert!(ended);
    drop((idle, first));
}

/// The application keeps the handle, but the job cannot continue.
#[test]
fn an_election_ends_when_its_runtime_shuts_down() {
    let (_faulty, client) = client();
    let runtime = one_thread();
    let (leader, candidate) = runtime.block_on(async {
        let job = || {
            job_fn(|leadership: Leadership| async move {
                leadership.cancelled().await;
                Ok(())
            })
        };
        let leader = client.election("a").unwrap().spawn(job());
        leader.watch().wait_for(Status::is_leading).await.unwrap();
        (leader, client.election("a").unwrap().spawn(job()))
    });
    drop(runtime);
    let ended = one_thread().block_on(async {
        let both = async { tokio::join!(leader.join(), candidate.join()) };
        tokio::time::timeout(Duration::from_secs(60), both).await
    });
    assert!(ended.is_ok());
}
