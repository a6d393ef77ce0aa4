//! What the jobs of several instances did in one election, checked as they do it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::election::JobError;
use leasehold_core::{Job, Leadership, StopReason};
use tokio::sync::watch;

/// One thing that a job did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `start` was called.
    Started {
        /// On that instance.
        instance: usize,
        /// For that term.
        token: u64,
    },
    /// `stop` was called.
    Stopping {
        /// On that instance.
        instance: usize,
        /// For that reason.
        reason: StopReason,
    },
    /// `stop` came to its end, or was aborted.
    Stopped {
        /// On that instance.
        instance: usize,
    },
}

/// The entries of all jobs in the order in which they were made.
#[derive(Clone, Debug)]
pub struct Ledger {
    entries: Arc<watch::Sender<Vec<Entry>>>,
    broken: Arc<Mutex<Option<String>>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { entries: Arc::new(watch::Sender::new(Vec::new())), broken: Arc::default() }
    }
}

impl Ledger {
    /// A job of that instance; see [`Conduct`].
    #[must_use]
    pub fn job(&self, instance: usize, conduct: Conduct) -> impl Job + use<> {
        LedgerJob { ledger: self.clone(), instance, conduct }
    }

    /// All entries so far.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.borrow().clone()
    }

    /// Waits until there is an entry that satisfies the condition, and returns the first.
    pub async fn wait_for(&self, condition: impl Fn(&Entry) -> bool) -> Entry {
        let mut entries = self.entries.subscribe();
        loop {
            let found = entries.borrow_and_update().iter().find(|entry| condition(entry)).cloned();
            if let Some(found) = found {
                return found;
            }
            // Fails only without a sender, which `self` has.
            let _ = entries.changed().await;
        }
    }

    /// Waits until that many terms have started.
    pub async fn wait_for_terms(&self, terms: usize) {
        let started = |entry: &&Entry| matches!(entry, Entry::Started { .. });
        let mut entries = self.entries.subscribe();
        // Fails only without a sender, which `self` has.
        let _ = entries.wait_for(|entries| entries.iter().filter(started).count() >= terms).await;
    }

    /// Checks all entries against the promises: one term at a time, larger tokens, one stop each.
    ///
    /// # Panics
    /// When one is broken.
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
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, entry: Entry) {
        self.entries.send_modify(|entries| entries.push(entry));
    }
}

/// How a job behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// `start` works until it is cancelled; `stop` takes that long.
    Works(Duration),
    /// `start` fails.
    FailsToStart,
    /// `start` panics.
    PanicsAtStart,
    /// `start` ignores that it is cancelled, and `stop` never ends.
    NeverStops,
}

struct LedgerJob {
    ledger: Ledger,
    instance: usize,
    conduct: Conduct,
}

/// Notes the end of a `stop`, aborted or not.
struct NoteEnd<'a>(&'a LedgerJob);

impl Drop for NoteEnd<'_> {
    fn drop(&mut self) {
        self.0.ledger.add(Entry::Stopped { instance: self.0.instance });
    }
}

#[async_trait]
impl Job for LedgerJob {
    async fn start(&self, leadership: Leadership) -> Result<(), JobError> {
        if !leadership.is_held() {
            *self.ledger.broken() = Some("a term began without trust in its lease".to_owned());
        }
        let (instance, token) = (self.instance, leadership.token().get());
        self.ledger.add(Entry::Started { instance, token });
        match self.conduct {
            Conduct::Works(_) => leadership.cancelled().await,
            Conduct::FailsToStart => return Err("told to fail".into()),
            // A panic that no hook prints, since it is meant.
            Conduct::PanicsAtStart => std::panic::resume_unwind(Box::new("told to panic")),
            Conduct::NeverStops => std::future::pending().await,
        }
        Ok(())
    }

    async fn stop(&self, reason: &StopReason) {
        self.ledger.add(Entry::Stopping { instance: self.instance, reason: reason.clone() });
        let _end = NoteEnd(self);
        match self.conduct {
            Conduct::Works(time) => tokio::time::sleep(time).await,
            Conduct::FailsToStart | Conduct::PanicsAtStart => {}
            Conduct::NeverStops => std::future::pending().await,
        }
    }
}
