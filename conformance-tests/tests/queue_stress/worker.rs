//! A worker is a process with several clients, each with connections of its own, that acquire and
//! release the lock again and again.
//!
//! It ends when its standard input is closed. If it reads a line there, each of its clients holds
//! the lock once more, and then it ends.

use std::env;
use std::io::stdin;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use leasehold::{Namespace, OpenOptions};
use leasehold_core::{Client, LockKind, Result, Settings};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::attempt::{Attempt, Wait};
use crate::event::{Ending, Event, report};
use crate::recorder::Recorder;

/// A worker process has this many clients.
pub(crate) const CLIENTS: usize = 4;

/// An attempt that waits longer than this is stuck, and the test has failed before.
const LONG: Duration = Duration::from_secs(3600);

/// A worker is started with its job in this variable.
pub(crate) const JOB: &str = "LEASEHOLD_TEST_QUEUE_JOB";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) url: String,
    pub(crate) namespace: String,
    /// This is the [code](LockKind::code) of the kind.
    pub(crate) kind: String,
    pub(crate) ttl: Duration,
}

/// Runs this process as a worker if it was started as one.
pub(crate) fn run() {
    let Ok(job) = env::var(JOB) else { return };
    let job: Job = serde_json::from_str(&job).unwrap();
    let finish = Arc::new(AtomicBool::new(false));
    thread::spawn({
        let finish = Arc::clone(&finish);
        move || read_orders(&finish)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clients = (0..CLIENTS).map(|number| run_client(number, &job, &finish));
    runtime.block_on(join_all(clients));
}

fn read_orders(finish: &AtomicBool) {
    for line in stdin().lines() {
        line.unwrap();
        finish.store(true, Ordering::Relaxed);
    }
    std::process::exit(1);
}

async fn run_client(number: usize, job: &Job, finish: &AtomicBool) {
    let kind: LockKind = job.kind.parse().unwrap();
    let client = loop {
        match open(job).await {
            Ok(client) => break client,
            Err(error) => {
                let (why, transient) = (error.to_string(), error.is_transient());
                report(&Event::Ended(Ending::Failed { why, transient }));
                sleep(Duration::from_millis(200)).await;
            }
        }
    };
    loop {
        let is_last = finish.load(Ordering::Relaxed);
        let ending = match is_last {
            true => last_attempt(kind).run(&client).await,
            false => attempt(kind, job.ttl).run(&client).await,
        };
        let failed = matches!(ending, Ending::Failed { .. });
        let held = ending == Ending::Held;
        report(&Event::Ended(ending));
        if is_last && held {
            return report(&Event::Last { client: number });
        }
        // A server that is overloaded gets a rest.
        let pause = if failed { 100 } else { fastrand::u64(..4) };
        sleep(Duration::from_millis(pause)).await;
    }
}

/// Opens a store with connections of this client alone, and few of them.
pub(crate) async fn open(job: &Job) -> Result<Client> {
    let options = OpenOptions::default()
        .with_namespace(Namespace::new(job.namespace.as_str())?)
        .with_max_connections(NonZeroU32::new(2));
    let store = leasehold::url::open(&job.url, &options).await?;
    let settings = Settings::new().ttl(job.ttl);
    Client::builder(Arc::new(Recorder(store))).settings(settings).build()
}

/// Returns a random attempt.
fn attempt(kind: LockKind, ttl: Duration) -> Attempt {
    let wait = match fastrand::u32(..8) {
        0 => Wait::Try,
        1 => Wait::AtMost(Duration::from_millis(fastrand::u64(5..500))),
        _ => Wait::AtMost(LONG),
    };
    // Some are renewed while they hold the lock.
    let hold = match fastrand::u32(..64) {
        0 => ttl * fastrand::u32(..100) / 100,
        _ => Duration::from_millis(fastrand::u64(..8)),
    };
    Attempt { wait, hold, drops: fastrand::u32(..8) == 0, ..last_attempt(kind) }
}

/// Returns an attempt that waits as long as it takes, of a random weight.
fn last_attempt(kind: LockKind) -> Attempt {
    let capacity = kind.capacity();
    let weight = match (kind, fastrand::u32(..8)) {
        (LockKind::Semaphore(_), 0) => capacity,
        (LockKind::Semaphore(_), _) => fastrand::u32(1..=capacity.div_ceil(2)),
        (LockKind::ReaderWriter, 0 | 1) => LockKind::WRITER_WEIGHT,
        _ => 1,
    };
    let hold = Duration::from_millis(2);
    Attempt { kind, weight, wait: Wait::AtMost(LONG), hold, drops: false }
}
