//! This log records what the jobs of several instances did in one election, and checks it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::election::JobError;
use leasehold_core::{Job, Leadership, StopReason};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

/// An entry is one thing that a job did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// `start` was called.
    Started {
        /// This is the instance whose job was called.
        instance: usize,
        /// This is the fencing token of the term.
        token: u64,
    },
    /// `stop` was called.
    Stopping {
        /// This is the instance whose job was called.
        instance: usize,
        /// This is the reason that the job was given.
        reason: StopReason,
    },
    /// `stop` has ended or was aborted.
    Stopped {
        /// This is the instance whose job was called.
        instance: usize,
    },
}

/// This log has the entries of all jobs, in the order in which they were added.
#[derive(Clone, Debug)]
pub struct JobLog {
    entries: Arc<watch::Sender<Vec<Entry>>>,
    broken: Arc<Mutex<Option<String>>>,
}

impl Default for JobLog {
    fn default() -> Self {
        Self { entries: Arc::new(watch::Sender::new(Vec::new())), broken: Arc::default() }
    }
}

impl JobLog {
    /// Creates a job of that instance that behaves as [`JobBehaviour`] says.
    #[must_use]
    pub fn job(&self, instance: usize, behaviour: JobBehaviour) -> impl Job + use<> {
        LoggedJob { log: self.clone(), instance, behaviour }
    }

    /// Returns all entries so far.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.borrow().clone()
    }

    /// Waits until an entry satisfies the condition, and returns the first such entry.
    pub async fn wait_for(&self, condition: impl Fn(&Entry) -> bool) -> Entry {
        let mut entries = self.entries.subscribe();
        loop {
            let found = entries.borrow_and_update().iter().find(|entry| condition(entry)).cloned();
            if let Some(found) = found {
                return found;
            }
            // This fails only if there is no sender, and `self` has one.
            let _ = entries.changed().await;
        }
    }

    /// Waits until that many terms have started.
    pub async fn wait_for_terms(&self, terms: usize) {
        let started = |entry: &&Entry| matches!(entry, Entry::Started { .. });
        let mut entries = self.entries.subscribe();
        // This fails only if there is no sender, and `self` has one.
        let _ = entries.wait_for(|entries| entries.iter().filter(started).count() >= terms).await;
    }

    /// Checks all entries against the promises: there is one term at a time, fencing tokens
    /// increase, and each start has one stop.
    ///
    /// # Panics
    /// It panics if a promise is broken.
    pub fn assert_in_order(&self) {
        let (mut leading, mut stopping, mut last) = (None, None, 0);
        for entry in self.entries() {
            match entry {
                Entry::Started { instance, token } => {
                    assert_eq!(leading, None, "instance {instance} starts before another stopped");
                    assert!(token > last, "term {token} comes after term {last}");
                    (leading, stopping, last) = (Some(instance), None, token);
                }
                Entry::Stopping { instance, reason } => {
                    assert_eq!(leading, Some(instance), "a stop without a start: {reason}");
                    assert_eq!(stopping, None, "a term is stopped twice: {reason}");
                    stopping = Some(instance);
                }
                Entry::Stopped { instance } => {
                    assert_eq!(stopping, Some(instance), "the end of a stop that was not begun");
                    leading = None;
                }
            }
        }
        assert_eq!(*self.broken(), None);
    }

    fn broken(&self) -> MutexGuard<'_, Option<String>> {
        self.broken.lock()
    }

    fn add(&self, entry: Entry) {
        self.entries.send_modify(|entries| entries.push(entry));
    }
}

/// This defines how a job behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobBehaviour {
    /// `start` works until it is cancelled, and `stop` takes that long.
    Works(Duration),
    /// `start` fails.
    FailsToStart,
    /// `start` panics.
    PanicsAtStart,
    /// `start` ignores its cancellation, and `stop` never ends.
    NeverStops,
}

struct LoggedJob {
    log: JobLog,
    instance: usize,
    behaviour: JobBehaviour,
}

/// Notes the end of a `stop`, whether it was aborted or not.
struct NoteEnd<'a>(&'a LoggedJob);

impl Drop for NoteEnd<'_> {
    fn drop(&mut self) {
        self.0.log.add(Entry::Stopped { instance: self.0.instance });
    }
}

#[async_trait]
impl Job for LoggedJob {
    async fn start(&self, leadership: Leadership) -> Result<(), JobError> {
        if !leadership.is_held() {
            *self.log.broken() = Some("a term began without trust in its lease".to_owned());
        }
        let (instance, token) = (self.instance, leadership.token().get());
        self.log.add(Entry::Started { instance, token });
        match self.behaviour {
            JobBehaviour::Works(_) => leadership.cancelled().await,
            JobBehaviour::FailsToStart => return Err("told to fail".into()),
            // No hook prints this panic, because it is intended.
            JobBehaviour::PanicsAtStart => std::panic::resume_unwind(Box::new("told to panic")),
            JobBehaviour::NeverStops => std::future::pending().await,
        }
        Ok(())
    }

    async fn stop(&self, reason: &StopReason) {
        self.log.add(Entry::Stopping { instance: self.instance, reason: reason.clone() });
        let _end = NoteEnd(self);
        match self.behaviour {
            JobBehaviour::Works(time) => tokio::time::sleep(time).await,
            JobBehaviour::FailsToStart | JobBehaviour::PanicsAtStart => {}
            JobBehaviour::NeverStops => std::future::pending().await,
        }
    }
}
