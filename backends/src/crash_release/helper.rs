//! The helper waits for the end of the application's process, and then releases the leases that it
//! held.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::parent_id;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::message::Message;
use super::process::READY;
use crate::store_address::StoreAddress;
use crate::{LeaseId, LockName, LockStore, ReleaseOutcome, Result};

/// A process whose pipe was closed by its end has another parent process after much less than this.
/// One that closed the pipe and continues still needs its leases.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The end of the process is looked for at this interval.
const CHECK_INTERVAL: Duration = Duration::from_millis(2);

/// The releases may together take this long.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

/// The helper then exits, even if a driver does not respond.
const EXIT_AFTER: Duration = Duration::from_secs(15);

/// A call that failed is tried again after this pause.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// This many leases are released at the same time.
const AT_ONCE: usize = 16;

/// This is what the application told the helper.
struct Application {
    process: u32,
    address: StoreAddress,
    held: BTreeMap<LeaseId, LeaseOf>,
}

/// A lease is that of an exclusive lock, or of an entry in the queue of that name.
enum LeaseOf {
    Lock(LockName),
    Entry(LockName),
}

/// Runs the helper.
pub(super) fn run() {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
    let context = runtime.enter();
    let Ok(_ignored) = ignore_signals() else { return };
    drop(context);
    let Some(application) = follow(BufReader::new(io::stdin())) else { return };
    if application.held.is_empty() || !has_ended(application.process) {
        return;
    }
    // Without this thread the helper still ends, unless a driver does not respond.
    let _ = thread::Builder::new().spawn(exit_late);
    runtime.block_on(async {
        // The leases that are not released by then expire.
        let _ = tokio::time::timeout(RELEASE_LIMIT, release(application)).await;
    });
    // A call to a store that hangs must not keep the process running.
    runtime.shutdown_background();
}

fn exit_late() {
    thread::sleep(EXIT_AFTER);
    std::process::exit(0)
}

/// Ignores the signals that are meant for the application, such as those that a service manager
/// sends to all its processes. They are ignored from now on.
fn ignore_signals() -> io::Result<Vec<Signal>> {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ];
    kinds.into_iter().map(signal).collect()
}

/// Follows the application's messages until its pipe is closed. Returns `None` if it is not certain
/// what has to be released.
fn follow(input: impl BufRead) -> Option<Application> {
    let mut lines = input.split(b'\n');
    let Message::Start(process, address) = Message::parse(&lines.next()?.ok()?)? else {
        return None;
    };
    // Only the end of the parent process can be noticed for certain.
    if parent_id() != process {
        return None;
    }
    let mut output = io::stdout();
    output.write_all(&[READY]).and_then(|()| output.flush()).ok()?;
    let mut held = BTreeMap::new();
    for line in lines {
        match Message::parse(&line.ok()?) {
            Some(Message::Held(name, lease)) => {
                held.insert(lease, LeaseOf::Lock(name));
            }
            Some(Message::Entered(name, lease)) => {
                held.insert(lease, LeaseOf::Entry(name));
            }
            Some(Message::Ended(lease)) => {
                held.remove(&lease);
            }
            Some(Message::Start(..)) | None => {}
        }
    }
    Some(Application { process, address, held })
}

/// Waits for the end of the process whose pipe was closed, and returns whether it has ended. The
/// kernel gives a process another parent once all threads of its parent have ended.
fn has_ended(process: u32) -> bool {
    let begun = Instant::now();
    while parent_id() == process {
        if begun.elapsed() >= END_LIMIT {
            return false;
        }
        thread::sleep(CHECK_INTERVAL);
    }
    true
}

/// Releases the leases, and leaves the queues. One that has ended is not changed: each grant has
/// another id.
async fn release(Application { address, held, .. }: Application) {
    let Some(store) = open(&address).await else { return };
    let release = |(lease, held): (LeaseId, LeaseOf)| {
        let store = store.clone();
        async move {
            while let Err(error) = end(&*store, &held, lease).await
                && error.is_transient()
            {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    };
    stream::iter(held).for_each_concurrent(AT_ONCE, release).await;
}

async fn end(store: &dyn LockStore, held: &LeaseOf, lease: LeaseId) -> Result<ReleaseOutcome> {
    match held {
        LeaseOf::Lock(name) => store.release(name, lease).await,
        LeaseOf::Entry(name) => store.leave(name, lease).await,
    }
}

async fn open(address: &StoreAddress) -> Option<Arc<dyn LockStore>> {
    loop {
        match address.open().await {
            Ok(store) => return Some(store),
            Err(error) if error.is_transient() => tokio::time::sleep(RETRY_PAUSE).await,
            Err(_) => return None,
        }
    }
}
