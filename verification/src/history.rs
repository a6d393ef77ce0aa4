//! This module records the history of a run, by a clock outside of the run.

mod event;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use event::{AttemptKind, AttemptResult, Event, InstanceId, NameId, WriteResult};
use leasehold_core::{LockKind, Settings, Timing};
use parking_lot::Mutex;

/// A history has the events of a run, in the order in which they happened.
#[derive(Clone, Debug)]
pub struct History {
    /// These are the settings of every instance.
    pub timing: Timing,
    /// These are the kinds of the names, by their numbers. Other names are exclusive.
    pub kinds: Vec<LockKind>,
    /// Each event, with its time since the run began.
    pub events: Vec<(Duration, Event)>,
}

/// Records events as they happen.
#[derive(Clone, Debug)]
pub struct HistoryRecorder {
    begun: tokio::time::Instant,
    timing: Timing,
    kinds: Vec<LockKind>,
    events: Arc<Mutex<Vec<(Duration, Event)>>>,
}

impl HistoryRecorder {
    /// Creates an empty history of names of these kinds that begins now.
    #[must_use]
    pub fn new(timing: Timing, kinds: Vec<LockKind>) -> Self {
        Self { begun: tokio::time::Instant::now(), timing, kinds, events: Arc::default() }
    }

    /// Returns the time since the history began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Records that the event happens now.
    pub fn record(&self, event: Event) {
        let now = self.now();
        self.events.lock().push((now, event));
    }

    /// Returns the events recorded so far.
    #[must_use]
    pub fn history(&self) -> History {
        let events = self.events.lock().clone();
        History { timing: self.timing.clone(), kinds: self.kinds.clone(), events }
    }
}

impl History {
    /// Creates a history for a checker's own tests from seconds and events, under the default
    /// settings and with names that are exclusive.
    ///
    /// # Errors
    /// It does not fail in practice.
    pub fn of(events: &[(f64, Event)]) -> leasehold_core::Result<Self> {
        use leasehold_core::LockStore;
        let timing = Settings::new().resolve(&leasehold_core::MemoryStore::new().capabilities())?;
        let events = events.iter().map(|(at, event)| (Duration::from_secs_f64(*at), event.clone()));
        Ok(Self { timing, kinds: Vec::new(), events: events.collect() })
    }

    /// Returns the same history with names of these kinds.
    #[must_use]
    pub fn with_kinds(self, kinds: &[LockKind]) -> Self {
        Self { kinds: kinds.to_vec(), ..self }
    }

    /// Returns the kind of a name.
    #[must_use]
    pub fn kind(&self, name: NameId) -> LockKind {
        self.kinds.get(name).copied().unwrap_or(LockKind::Exclusive)
    }

    /// Returns the number of terms that began.
    #[must_use]
    pub fn terms(&self) -> usize {
        self.events.iter().filter(|(_, event)| matches!(event, Event::Started(..))).count()
    }

    /// Returns the number of entries that were made in queues, and of those that held the lock only
    /// after they had waited.
    #[must_use]
    pub fn entries(&self) -> (usize, usize) {
        let mut made = HashMap::new();
        let mut waited = HashSet::new();
        for (at, event) in &self.events {
            match event {
                Event::Entered(_, name, token, _) => {
                    made.insert((*name, *token), *at);
                }
                // The store grants an entry that need not wait when it makes it.
                Event::Granted(_, name, token)
                    if made.get(&(*name, *token)).is_some_and(|made| made < at) =>
                {
                    waited.insert((*name, *token));
                }
                _ => {}
            }
        }
        (made.len(), waited.len())
    }

    /// Returns its last events up to that time, without those of frequent kinds.
    #[must_use]
    pub fn up_to(&self, then: Duration, most: usize) -> Self {
        let telling = |(at, event): &&(Duration, Event)| {
            let usual = matches!(
                event,
                Event::MessageFault(_)
                    | Event::AcquireSent(..)
                    | Event::AcquireEnded(
                        ..,
                        AttemptResult::Granted
                            | AttemptResult::Queued
                            | AttemptResult::Refused
                            | AttemptResult::Disabled
                    )
                    | Event::RefusedBy(..)
                    | Event::Renewed(..)
                    | Event::Extended(..)
                    | Event::Hinted(..)
                    | Event::ToldHeld(..)
                    | Event::Wrote(..)
            );
            *at <= then && !usual
        };
        let telling: Vec<_> = self.events.iter().filter(telling).cloned().collect();
        let events = telling[telling.len().saturating_sub(most)..].to_vec();
        Self { timing: self.timing.clone(), kinds: self.kinds.clone(), events }
    }
}

impl fmt::Display for History {
    /// Writes a line per event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, event) in &self.events {
            writeln!(f, "{:>12.6}  {event:?}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
