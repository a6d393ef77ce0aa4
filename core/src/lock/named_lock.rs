//! A named lock has what the locks of all kinds share: a client, a name and its settings.

use std::sync::Arc;
use std::time::Duration;

use super::guard::Guard;
use super::waiter::Waiter;
use crate::engine::{Engine, TimedReply};
use crate::lease::machine::Event;
use crate::lease::{EntryOptions, Reply};
use crate::{Error, ErrorKind, LockKind, LockName, Result, Settings, Timing};

/// A named lock belongs to one client, and may be of any kind.
#[derive(Clone, Debug)]
pub(crate) struct NamedLock {
    pub(super) engine: Arc<Engine>,
    pub(super) name: LockName,
    timing: Arc<Timing>,
    /// The machines of this lock follow this timing, which is [without a job](Timing::without_job).
    without_job: Arc<Timing>,
}

impl NamedLock {
    /// Creates a lock. The client's locks share its timing, with and without a job.
    pub(crate) fn new(
        engine: Arc<Engine>,
        name: LockName,
        timing: Arc<Timing>,
        without_job: Arc<Timing>,
    ) -> Self {
        Self { engine, name, timing, without_job }
    }

    /// Returns this lock if its store has queues.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Unsupported`] otherwise.
    pub(crate) fn with_queue(self, kind: LockKind) -> Result<Self> {
        self.engine.check_queues(kind, &self.name)?;
        Ok(self)
    }

    /// Returns this lock with other settings. A lock has no job to stop and starts without delay,
    /// so those two settings are only checked.
    pub(super) fn settings(self, settings: &Settings) -> Result<Self> {
        let timing = settings.resolve(&self.engine.store.inner().capabilities())?;
        let without_job = Arc::new(timing.without_job());
        Ok(Self { timing: Arc::new(timing), without_job, ..self })
    }

    /// Tries once to acquire the lock, or to enter its queue with these options and hold the lock
    /// at once.
    pub(super) async fn try_once(&self, entry: Option<EntryOptions>) -> Result<Option<Guard>> {
        let mut waiter = self.waiter(entry.map(EntryOptions::without_waiting));
        waiter.handle(Event::Tick);
        let reply = waiter.requests.next().await;
        if let Reply::Acquire { reply: TimedReply { outcome: Err(error), .. }, .. } = reply {
            return Err(error);
        }
        let granted = waiter.handle((&reply).into());
        Ok(granted.map(|granted| Guard::new(waiter, granted)))
    }

    pub(super) fn waiter(&self, entry: Option<EntryOptions>) -> Waiter {
        let (timing, without_job) = (self.timing.clone(), self.without_job.clone());
        Waiter::new(self.engine.clone(), self.name.clone(), timing, without_job, entry)
    }

    /// Returns the error of a call that did not get the lock within its limit.
    pub(super) fn timed_out(&self, limit: Duration, last: &str) -> Error {
        Error::new(ErrorKind::TimedOut, format!("timed out after {limit:?}: {last}"))
            .during("acquire")
            .for_lock(&self.name)
            .on_store(self.engine.store.inner().label())
    }
}
