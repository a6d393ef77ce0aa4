//! An outage adds two lines to the log, one when it begins and one when it ends, and not one per
//! lease.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/faulty_store.rs"]
mod faulty_store;

use std::io::Write;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faulty_store::{FaultyStore, WatchFault};
use leasehold_core::{Client, TokioClock};
use tracing_subscriber::filter::LevelFilter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().map(ToOwned::to_owned).collect()
    }
}

fn log() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::INFO)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

fn client(faulty: &FaultyStore) -> Client {
    let clock = Arc::new(TokioClock::new());
    Client::builder(Arc::new(faulty.clone())).clock(clock).seed(1).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_outage_logs_two_lines_for_any_number_of_leases() {
    let (log, _installed) = log();
    let faulty = FaultyStore::new(Arc::new(TokioClock::new()));
    let client = client(&faulty);
    let mut guards = Vec::new();
    for number in 0..1_000 {
        let lock = client.lock(format!("lock-{number}")).unwrap();
        guards.push(lock.try_acquire().await.unwrap().unwrap());
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    faulty.state.all_fail.store(true, SeqCst);
    tokio::time::sleep(Duration::from_secs(10)).await;
    faulty.state.all_fail.store(false, SeqCst);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(guards.iter().all(leasehold_core::Guard::is_held));
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("refused"), "{lines:#?}");
    assert!(lines[1].contains("responds again") && lines[1].contains("failures="), "{lines:#?}");
}

/// Calls that hang used to leave no trace in the log, and neither did a lost lock.
#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_logged_before_the_lock_is_lost() {
    let (log, _installed) = log();
    let faulty = FaultyStore::new(Arc::new(TokioClock::new()));
    let guard = client(&faulty).lock("a").unwrap().try_acquire().await.unwrap().unwrap();
    faulty.state.all_hang.store(true, SeqCst);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("renew") && lines[0].contains("no reply"), "{lines:#?}");
    assert!(guard.is_held());
    tokio::time::sleep(Duration::from_secs(20)).await;
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[1].contains("lock=\"a\"") && lines[1].contains("lost a held lock"), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_watch_is_logged_once() {
    let (log, _installed) = log();
    let faulty = FaultyStore::new(Arc::new(TokioClock::new())).watching(WatchFault::Refused);
    let _guard = client(&faulty).lock("a").unwrap().try_acquire().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(faulty.state.watches.load(SeqCst) > 10);
    assert_eq!(log.lines().len(), 1, "{:#?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn no_watch_is_opened_when_hints_are_off() {
    let faulty = FaultyStore::new(Arc::new(TokioClock::new()));
    let clock = Arc::new(TokioClock::new());
    let builder = Client::builder(Arc::new(faulty.clone())).clock(clock).hints(false);
    let client = builder.build().unwrap();
    let guard = client.lock("a").unwrap().try_acquire().await.unwrap().unwrap();
    let waiter = client.lock("a").unwrap();
    let waiting = tokio::spawn(async move { waiter.acquire(Duration::from_secs(60)).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    guard.release().await.unwrap();
    assert!(waiting.await.unwrap().is_ok(), "the waiter polls");
    assert_eq!(faulty.state.watches.load(SeqCst), 0);
}
