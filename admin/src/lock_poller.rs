//! The lock poller polls the store for all locks, once for all event streams.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold_core::{Client, Error, ErrorKind, HintStream, LockName, LockRecord};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Limits;
use crate::problem::Problem;

/// The store is polled this often without a hint, because grants cause no hints.
const INTERVAL: Duration = Duration::from_secs(1);

/// The store is polled at most this often, because hints may come in quick succession.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// The pause after a poll is this many times as long as the poll, so that polling does not keep a
/// large store busy.
const PAUSE_FACTOR: u32 = 9;

/// The pause after a slow poll is at most this long.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// If a poll takes longer than this, including the watch that is opened for it, the store is
/// reported as unavailable. The limit is longer if the previous poll was slow.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A watch must open within this time.
const WATCH_TIMEOUT: Duration = Duration::from_secs(2);

/// A snapshot has all locks as of the last successful poll, and the error of a later one that
/// failed.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) records: Arc<BTreeMap<LockName, LockRecord>>,
    pub(crate) error: Option<Error>,
}

/// The lock poller polls the store while it has subscriptions.
#[derive(Debug)]
pub(crate) struct LockPoller {
    client: Client,
    permits: Arc<Semaphore>,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    is_polling: Mutex<bool>,
    pub(crate) shutdown: CancellationToken,
}

/// A subscription receives snapshots. A slow subscriber skips intermediate ones, so it keeps
/// only the latest one in memory.
#[derive(Debug)]
pub(crate) struct Subscription {
    _permit: OwnedSemaphorePermit,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
}

impl LockPoller {
    pub(crate) fn new(client: Client, limits: &Limits, shutdown: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            client,
            permits: Arc::new(Semaphore::new(limits.listeners)),
            snapshots: watch::Sender::new(None),
            is_polling: Mutex::new(false),
            shutdown,
        })
    }

    /// Subscribes to snapshots, and starts the task that polls if it does not run.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Result<Subscription, Problem> {
        let permit = self.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Problem::busy("event streams"))?;
        let snapshots = self.snapshots.subscribe();
        let start = !std::mem::replace(&mut *self.is_polling(), true);
        if start {
            // The state is unlocked here: if the runtime shuts down, the task is dropped at once.
            tokio::spawn(PollTask { poller: self.clone(), limit: TIMEOUT, stopped: false }.run());
        }
        Ok(Subscription { _permit: permit, snapshots })
    }

    fn is_polling(&self) -> MutexGuard<'_, bool> {
        self.is_polling.lock()
    }
}

impl Subscription {
    /// Returns the next snapshot that this subscription has not returned yet, or `None` if there
    /// will be no other.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Arc<Snapshot>> {
        loop {
            self.snapshots.changed().await.ok()?;
            if let Some(snapshot) = self.snapshots.borrow_and_update().clone() {
                return Some(snapshot);
            }
        }
    }
}

/// The poll task marks the poller as stopped, however it ends.
struct PollTask {
    poller: Arc<LockPoller>,
    limit: Duration,
    stopped: bool,
}

impl Drop for PollTask {
    fn drop(&mut self) {
        if !self.stopped {
            *self.poller.is_polling() = false;
        }
    }
}

impl PollTask {
    async fn run(mut self) {
        let mut hints = None;
        // A later subscriber would mistake an old snapshot for the present state.
        self.poller.snapshots.send_replace(None);
        while !self.stop_if_idle() {
            let pause = self.poll(&mut hints).await;
            let expiry = self.first_expiry().unwrap_or(INTERVAL).min(INTERVAL);
            let shutdown = self.poller.shutdown.clone();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = self.poller.snapshots.closed() => {}
                () = async {
                    sleep(pause).await;
                    tokio::select! {
                        () = hint(&mut hints) => {}
                        () = sleep(expiry.saturating_sub(pause)) => {}
                    }
                } => {}
            }
        }
    }

    /// Returns whether to stop. The decision is recorded under the same lock, so that no new
    /// subscription relies on a task that is about to end.
    fn stop_if_idle(&mut self) -> bool {
        let mut is_polling = self.poller.is_polling();
        if self.poller.snapshots.receiver_count() == 0 {
            *is_polling = false;
            self.stopped = true;
        }
        self.stopped
    }

    /// Polls once, and returns how long to pause afterwards.
    async fn poll(&mut self, hints: &mut Option<HintStream>) -> Duration {
        let client = self.poller.client.clone();
        let mut polling = pin!(async {
            if hints.is_none() {
                // The watch opens before the list, so that no change is missed in between. Without
                // a watch, the store is only polled.
                let watch = timeout(WATCH_TIMEOUT, client.store().watch()).await;
                *hints = watch.ok().and_then(Result::ok);
            }
            let started = Instant::now();
            (client.list().await, started.elapsed())
        });
        let in_time = timeout(self.limit, polling.as_mut()).await;
        let was_late = in_time.is_err();
        let (listed, took) = match in_time {
            Ok(polled) => polled,
            // This is reported before the call times out: a store that hangs must not look idle.
            Err(_) => {
                self.fail(no_reply(&self.poller.client, self.limit));
                polling.await
            }
        };
        match listed {
            Ok(records) => {
                // A store that is merely large is not reported as unavailable at every poll.
                self.limit = TIMEOUT.max(took.saturating_mul(2));
                let records = records.into_iter().map(|record| (record.name.clone(), record));
                let snapshot = Snapshot { records: Arc::new(records.collect()), error: None };
                self.poller.snapshots.send_replace(Some(Arc::new(snapshot)));
                pause(took, was_late)
            }
            Err(error) => {
                self.fail(error);
                pause(took, true)
            }
        }
    }

    /// Keeps the last records, and marks them as out of date.
    fn fail(&self, error: Error) {
        let snapshots = &self.poller.snapshots;
        let last = snapshots.borrow().clone().unwrap_or_default();
        snapshots.send_replace(Some(Arc::new(Snapshot {
            records: last.records.clone(),
            error: Some(error),
        })));
    }

    fn first_expiry(&self) -> Option<Duration> {
        let snapshot = self.poller.snapshots.borrow();
        let records = snapshot.iter().flat_map(|snapshot| snapshot.records.values());
        records.flat_map(LockRecord::holders).map(|held| held.left).min()
    }
}

/// Returns how long to pause after a poll; one that failed or hung says nothing about the store's
/// size.
fn pause(took: Duration, failed: bool) -> Duration {
    let pause = took.saturating_mul(PAUSE_FACTOR).clamp(MIN_INTERVAL, MAX_PAUSE);
    if failed { pause.min(INTERVAL) } else { pause }
}

fn no_reply(client: &Client, limit: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("no reply within {limit:?}"))
        .during("list")
        .on_store(client.store().label())
}

/// Waits until something may have changed; without a watch it waits forever.
async fn hint(hints: &mut Option<HintStream>) {
    if let Some(stream) = hints {
        if stream.next().await.is_some() {
            return;
        }
        *hints = None;
    }
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_polls_are_spaced_out_but_a_failed_poll_is_retried_soon() {
        let (ms, secs) = (Duration::from_millis, Duration::from_secs);
        for (took, expected) in [
            (ms(0), MIN_INTERVAL),
            (ms(20), ms(180)),
            (ms(500), ms(4500)),
            (secs(4), MAX_PAUSE),
            (Duration::MAX, MAX_PAUSE),
        ] {
            assert_eq!(pause(took, false), expected, "{took:?}");
            assert!(pause(took, true) <= INTERVAL, "{took:?}");
        }
    }
}
