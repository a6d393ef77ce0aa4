//! An attempt of a client to hold the lock, and what it does while it holds it.

use std::time::Duration;

use leasehold_core::{Client, Guard, Leadership, LockKind, Result, job_fn};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::event::{Ending, Event, nanos, now, report};

/// All clients use this name.
pub(crate) const NAME: &str = "job";

/// Guards are asked this often whether they are held.
const STEP: Duration = Duration::from_millis(20);

/// An attempt waits for so long.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// It makes no entry that waits.
    Try,
    /// It leaves the queue after this time.
    AtMost(Duration),
}

/// An attempt needs this much of the capacity, and holds it for this long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) kind: LockKind,
    pub(crate) weight: u32,
    pub(crate) wait: Wait,
    pub(crate) hold: Duration,
    /// The guard is dropped instead of released.
    pub(crate) drops: bool,
}

impl Attempt {
    /// Makes the attempt, and returns how it ended.
    pub(crate) async fn run(self, client: &Client) -> Ending {
        let ended = match self.kind {
            LockKind::Leaders(count) => self.lead(client, count.get()).await,
            _ => self.lock(client).await,
        };
        ended.unwrap_or_else(|error| match error.is_timed_out() {
            true => Ending::TimedOut,
            // A long line would not be written at once.
            false => Ending::Failed {
                why: error.to_string().chars().take(500).collect(),
                transient: error.is_transient(),
            },
        })
    }

    async fn lock(self, client: &Client) -> Result<Ending> {
        let Some(guard) = self.acquire(client).await? else { return Ok(Ending::Refused) };
        let ending = hold(guard.token().get(), self.hold, || guard.is_held()).await;
        if self.drops {
            drop(guard);
        } else {
            guard.release().await?;
        }
        Ok(ending)
    }

    async fn acquire(self, client: &Client) -> Result<Option<Guard>> {
        match (self.kind, self.wait) {
            (LockKind::Semaphore(permits), wait) => {
                let semaphore = client.semaphore(NAME, permits.get())?;
                match wait {
                    Wait::Try => semaphore.try_acquire_many(self.weight).await,
                    Wait::AtMost(limit) => {
                        semaphore.acquire_many(self.weight, limit).await.map(Some)
                    }
                }
            }
            (LockKind::ReaderWriter, wait) => {
                let lock = client.rw_lock(NAME)?;
                match (wait, self.weight == LockKind::WRITER_WEIGHT) {
                    (Wait::Try, false) => lock.try_read().await,
                    (Wait::Try, true) => lock.try_write().await,
                    (Wait::AtMost(limit), false) => lock.read(limit).await.map(Some),
                    (Wait::AtMost(limit), true) => lock.write(limit).await.map(Some),
                }
            }
            (_, Wait::Try) => client.fair_lock(NAME)?.try_acquire().await,
            (_, Wait::AtMost(limit)) => client.fair_lock(NAME)?.acquire(limit).await.map(Some),
        }
    }

    /// Campaigns until one term has ended by itself.
    async fn lead(self, client: &Client, count: u32) -> Result<Ending> {
        let election = client.election(NAME)?.leaders(count)?;
        let (election, limit, late) = match self.wait {
            // The store replies within this time.
            Wait::Try => (election.without_waiting(), Duration::from_millis(100), Ending::Refused),
            Wait::AtMost(limit) => (election, limit, Ending::TimedOut),
        };
        let (ended, mut endings) = mpsc::unbounded_channel();
        let length = self.hold;
        let handle = election.spawn(job_fn(move |leadership: Leadership| {
            let ended = ended.clone();
            async move {
                let token = leadership.token().get();
                let ending = hold(token, length, move || leadership.is_held()).await;
                // Nobody waits for a term that starts at the limit.
                let _ = ended.send(ending);
                Ok(())
            }
        }));
        let ending = timeout(limit, endings.recv()).await;
        handle.shutdown().await;
        Ok(ending.ok().flatten().unwrap_or(late))
    }
}

/// Holds the lock for that long, and reports for how long it was trusted.
///
/// A lock that is lost stays lost, so it was held from the first time it was asked to the last one.
async fn hold(token: u64, length: Duration, is_held: impl Fn() -> bool) -> Ending {
    if !is_held() {
        return Ending::Lost;
    }
    let from = now();
    let end = from + nanos(length);
    loop {
        sleep(STEP.min(Duration::from_nanos(end.saturating_sub(now())))).await;
        // The process may be paused between these two lines.
        let to = now();
        if !is_held() {
            return Ending::Lost;
        }
        report(&Event::Trusted { token, from, to });
        if to >= end {
            return Ending::Held;
        }
    }
}
