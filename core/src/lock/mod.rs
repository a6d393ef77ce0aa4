//! Locks: a guarded section of code that one instance at a time is in.

mod guard;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Answer, Claim, Engine};
use crate::{AcquireOutcome, Error, ErrorKind, LockName, Result, Settings, Timing};

pub use guard::Guard;

/// A named lock of a [`Client`](crate::Client).
///
/// ```
/// use std::time::Duration;
/// use leasehold_core::{Client, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold_core::Result<()> {
/// let client = Client::new(MemoryStore::new())?;
/// let lock = client.lock("nightly-report")?;
///
/// let guard = lock.acquire(Duration::from_secs(30)).await?;
/// assert!(guard.is_held());
/// println!("working under token {}", guard.token());
/// guard.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Lock {
    engine: Arc<Engine>,
    name: LockName,
    timing: Timing,
}

/// What one attempt came to, when it did not get the lock.
enum Refused {
    /// Another holds it for that much longer, or it is disabled; the text says so.
    Taken {
        left: Option<Duration>,
        why: String,
    },
    /// It was granted, but the answer took too long for the lease to be trusted.
    TooLate,
    Failed(Error),
}

impl Lock {
    pub(crate) fn new(engine: Arc<Engine>, name: LockName, timing: Timing) -> Self {
        Self { engine, name, timing }
    }

    /// This lock with other settings. A lock has no job to stop and starts without delay, so of
    /// these two settings only the checks concern it.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], when they contradict each other or the store.
    pub fn settings(self, settings: &Settings) -> Result<Self> {
        let timing = settings.resolve(&self.engine.calls.store().capabilities())?;
        Ok(Self { timing, ..self })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.name
    }

    /// Asks for the lock once; `None` when another holds it, when it is disabled, and when the answer
    /// took too long for the lease to be of use.
    ///
    /// # Errors
    /// What the store reports. Whatever was granted in spite of it is given back.
    ///
    /// # Cancel safety
    /// Safe: what was granted to a dropped call is given back.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        match self.attempt(self.claim()).await {
            Ok(guard) => Ok(Some(guard)),
            Err((_, Refused::Taken { .. } | Refused::TooLate)) => Ok(None),
            Err((_, Refused::Failed(error))) => Err(error),
        }
    }

    /// Waits for the lock, at most for `limit`; with none at all it asks once.
    ///
    /// It asks again when the lease that is in the way runs out, when the store hints at a change
    /// and at every [poll interval](Settings::poll_interval), also while the name is disabled or
    /// the store is away. Waiters are not served in turn: one that releases and acquires in a loop
    /// may shut others out, so let it pause in between.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], saying who holds the lock or what the store reported last; at once,
    /// what waiting cannot mend.
    ///
    /// # Cancel safety
    /// Safe: what was granted to a dropped call is given back. The place in the waiting is lost.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn acquire(&self, limit: Duration) -> Result<Guard> {
        let calls = &self.engine.calls;
        let wait = calls.meters().wait(&**calls.clock());
        let acquired = self.acquire_within(limit).await;
        wait.ended(&acquired);
        acquired
    }

    async fn acquire_within(&self, limit: Duration) -> Result<Guard> {
        let clock = self.engine.calls.clock().clone();
        let give_up = clock.now() + limit;
        if limit.is_zero() {
            // The deadline would cut the one attempt off before it has an answer.
            let had = self.try_acquire().await?;
            return had.ok_or_else(|| self.timed_out(limit, "another holds it, or it is disabled"));
        }
        let hints = self.engine.hub.subscribe(self.name.clone());
        let mut claim = self.claim();
        let mut failures = 0;
        let mut last = "the store gave no answer".to_owned();
        loop {
            let refused = {
                // One deadline for everything, a call that hangs included.
                let attempt = pin!(self.attempt(claim));
                tokio::select! {
                    biased;
                    attempted = attempt => match attempted {
                        Ok(guard) => return Ok(guard),
                        Err(refused) => refused,
                    },
                    () = clock.sleep_until(give_up) => return Err(self.timed_out(limit, &last)),
                }
            };
            let wait = match refused {
                (_, Refused::Failed(error)) if !error.is_transient() => return Err(error),
                // Whether it was granted is unknown: the same claim asks again.
                (same, Refused::Failed(error)) => {
                    claim = same;
                    failures += 1;
                    last = error.to_string();
                    let pause = self.timing.backoff(failures);
                    pause + self.engine.jitter(pause / 2)
                }
                (late, Refused::TooLate) => {
                    // Given back.
                    drop(late);
                    claim = self.claim();
                    failures = 0;
                    last = "the grant came too late to be used".to_owned();
                    self.engine.jitter(self.timing.spread())
                }
                (same, Refused::Taken { left, why }) => {
                    // An earlier request, given up on, may still be granted: under a new id we
                    // would be kept out by ourselves. But what was granted before the name was
                    // disabled is ending, and is given back.
                    let disabled = left.is_none();
                    claim = if same.may_be_held() && !disabled { same } else { self.claim() };
                    failures = 0;
                    last = why;
                    let wait = left.unwrap_or(Duration::MAX).min(self.timing.poll_interval);
                    wait + self.engine.jitter(self.timing.spread())
                }
            };
            let again = clock.now() + wait;
            tokio::select! {
                biased;
                () = hints.changed() => {}
                () = clock.sleep_until(again.min(give_up)) => {}
            }
            if clock.now() >= give_up {
                return Err(self.timed_out(limit, &last));
            }
        }
    }

    fn claim(&self) -> Claim {
        Claim::new(self.engine.clone(), self.name.clone(), &self.timing)
    }

    async fn attempt(&self, claim: Claim) -> Result<Guard, (Claim, Refused)> {
        let (claim, Answer { sent, outcome }) = claim.ask(self.timing.ttl).await;
        match outcome {
            Ok(AcquireOutcome::Granted(grant)) => {
                let guard = Guard::new(self.engine.clone(), claim, &self.timing, sent, grant);
                guard.map_err(|claim| (claim, Refused::TooLate))
            }
            Ok(AcquireOutcome::Held(held)) => {
                let why = format!("{} holds it for another {:.1?}", held.holder, held.left);
                Err((claim, Refused::Taken { left: Some(held.left), why }))
            }
            Ok(AcquireOutcome::Disabled(disabled)) => {
                let why = format!("it is disabled: {}", disabled.reason);
                Err((claim, Refused::Taken { left: None, why }))
            }
            Err(error) => Err((claim, Refused::Failed(error))),
        }
    }

    fn timed_out(&self, limit: Duration, last: &str) -> Error {
        Error::new(ErrorKind::TimedOut, format!("not had within {limit:?}: {last}"))
            .during("acquire")
            .for_lock(&self.name)
            .on_store(self.engine.calls.store().label())
    }
}
