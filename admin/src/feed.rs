//! One look at the store, again and again, shared by all who follow the changes.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use leasehold_core::{Client, Error, ErrorKind, HintStream, LockName, LockRecord};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Limits;
use crate::problem::Problem;

/// How often to look when no hint tells to: grants are not hinted at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Hints may come in crowds.
const LEAST_INTERVAL: Duration = Duration::from_millis(50);

/// A look that takes long is followed by a pause of so many times that, so that a large store is
/// not kept busy by being looked at,
const REST: u32 = 9;

/// but not by a longer one than this.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// How long a look may take, a watch that is begun for it included, before the store is said not to
/// answer; longer where the look before took long.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a watch may take to begin.
const WATCH: Duration = Duration::from_secs(2);

/// What the store knew a moment ago, and whether it answered since.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) records: Arc<BTreeMap<LockName, LockRecord>>,
    pub(crate) error: Option<Error>,
}

/// The looks, taken while anybody follows them.
#[derive(Debug)]
pub(crate) struct Feed {
    client: Client,
    seats: Arc<Semaphore>,
    looks: watch::Sender<Option<Arc<Look>>>,
    looking: Mutex<bool>,
    pub(crate) shutdown: CancellationToken,
}

/// One who follows. Whoever is slow misses the looks in between, and costs no more than the last.
#[derive(Debug)]
pub(crate) struct Follower {
    _seat: OwnedSemaphorePermit,
    looks: watch::Receiver<Option<Arc<Look>>>,
}

impl Feed {
    pub(crate) fn new(client: Client, limits: &Limits, shutdown: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            client,
            seats: Arc::new(Semaphore::new(limits.listeners)),
            looks: watch::Sender::new(None),
            looking: Mutex::new(false),
            shutdown,
        })
    }

    /// Takes a seat, and begins to look if nobody did.
    pub(crate) fn follow(self: &Arc<Self>) -> Result<Follower, Problem> {
        let seat = self.seats.clone().try_acquire_owned();
        let seat = seat.map_err(|_| Problem::busy("followers of the changes"))?;
        let looks = self.looks.subscribe();
        let begin = !std::mem::replace(&mut *self.looking(), true);
        if begin {
            // Unlocked: where the runtime shuts down, the task is dropped right here.
            tokio::spawn(Looking { feed: self.clone(), patience: PATIENCE, said: false }.run());
        }
        Ok(Follower { _seat: seat, looks })
    }

    fn looking(&self) -> MutexGuard<'_, bool> {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// The next look that is not yet seen; none when there will be no more.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Arc<Look>> {
        loop {
            self.looks.changed().await.ok()?;
            if let Some(look) = self.looks.borrow_and_update().clone() {
                return Some(look);
            }
        }
    }
}

/// The task that looks: said to be over however it ends.
struct Looking {
    feed: Arc<Feed>,
    patience: Duration,
    said: bool,
}

impl Drop for Looking {
    fn drop(&mut self) {
        if !self.said {
            *self.feed.looking() = false;
        }
    }
}

impl Looking {
    async fn run(mut self) {
        let mut hints = None;
        // A look from before would be taken for the present.
        self.feed.looks.send_replace(None);
        while !self.stop_if_deserted() {
            let rest = self.look(&mut hints).await;
            let expiry = self.first_expiry().unwrap_or(INTERVAL).min(INTERVAL);
            let shutdown = self.feed.shutdown.clone();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = self.feed.looks.closed() => {}
                () = async {
                    sleep(rest).await;
                    tokio::select! {
                        () = hint(&mut hints) => {}
                        () = sleep(expiry.saturating_sub(rest)) => {}
                    }
                } => {}
            }
        }
    }

    /// Decided and said in one step, lest a newcomer rely on looks that end.
    fn stop_if_deserted(&mut self) -> bool {
        let mut looking = self.feed.looking();
        if self.feed.looks.receiver_count() == 0 {
            *looking = false;
            self.said = true;
        }
        self.said
    }

    /// Looks once; how long to rest then.
    async fn look(&mut self, hints: &mut Option<HintStream>) -> Duration {
        let client = self.feed.client.clone();
        let mut looking = pin!(async {
            if hints.is_none() {
                // Before the look, so that no change falls between the two. Without hints, poll.
                *hints = timeout(WATCH, client.store().watch()).await.ok().and_then(Result::ok);
            }
            let begun = Instant::now();
            (client.list().await, begun.elapsed())
        });
        let in_time = timeout(self.patience, looking.as_mut()).await;
        let was_late = in_time.is_err();
        let (listed, took) = match in_time {
            Ok(looked) => looked,
            // Said before it is given up on: a store that hangs must not look like one at rest.
            Err(_) => {
                self.fail(late(&self.feed.client, self.patience));
                looking.await
            }
        };
        match listed {
            Ok(records) => {
                // A store that is merely large is not said to be away at every look.
                self.patience = PATIENCE.max(took.saturating_mul(2));
                let records = records.into_iter().map(|record| (record.name.clone(), record));
                let look = Look { records: Arc::new(records.collect()), error: None };
                self.feed.looks.send_replace(Some(Arc::new(look)));
                rest(took, was_late)
            }
            Err(error) => {
                self.fail(error);
                rest(took, true)
            }
        }
    }

    /// What was known stays, and is said to be out of date.
    fn fail(&self, error: Error) {
        let looks = &self.feed.looks;
        let last = looks.borrow().clone().unwrap_or_default();
        looks.send_replace(Some(Arc::new(Look {
            records: last.records.clone(),
            error: Some(error),
        })));
    }

    fn first_expiry(&self) -> Option<Duration> {
        let look = self.feed.looks.borrow();
        let leases = look.iter().flat_map(|look| look.records.values());
        leases.filter_map(|record| record.lease.as_ref()).map(|lease| lease.left).min()
    }
}

/// How long to rest after a look; one that failed or hung says nothing about the store's size.
fn rest(took: Duration, failed: bool) -> Duration {
    let rest = took.saturating_mul(REST).clamp(LEAST_INTERVAL, LONGEST_REST);
    if failed { rest.min(INTERVAL) } else { rest }
}

fn late(client: &Client, patience: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("no answer within {patience:?}"))
        .during("list")
        .on_store(client.store().label())
}

/// Returns when something may have changed; never when nothing will tell.
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
    fn what_takes_long_is_done_less_often_but_what_hung_is_looked_at_soon() {
        let (ms, secs) = (Duration::from_millis, Duration::from_secs);
        for (took, rested) in [
            (ms(0), LEAST_INTERVAL),
            (ms(20), ms(180)),
            (ms(500), ms(4500)),
            (secs(4), LONGEST_REST),
            (Duration::MAX, LONGEST_REST),
        ] {
            assert_eq!(rest(took, false), rested, "{took:?}");
            assert!(rest(took, true) <= INTERVAL, "{took:?}");
        }
    }
}
