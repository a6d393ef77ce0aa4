//! This module records the history of a run, by a clock outside of the run.

mod event;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use event::{AttemptKind, AttemptResult, Event, InstanceId, NameId, WriteResult};
use leasehold_core::{Settings, Timing};
use parking_lot::Mutex;

/// A history has the events of a run, in the order in which they happened.
#[derive(Clone, Debug)]
pub struct History {
    /// These are the settings of every instance.
    pub timing: Timing,
    /// Each event, with its time since the run began.
    pub events: Vec<(Duration, Event)>,
}

/// Records events as they happen.
#[derive(Clone, Debug)]
pub struct HistoryRecorder {
    begun: tokio::time::Instant,
    timing: Timing,
    events: Arc<Mutex<Vec<(Duration, Event)>>>,
}

impl HistoryRecorder {
    /// Creates an empty history that begins now.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self { begun: tokio::time::Instant::now(), timing, events: Arc::default() }
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
        History { timing: self.timing.clone(), events }
    }
}

impl History {
    /// Creates a history for a checker's own tests from seconds and events, under the default
    /// settings.
    ///
    /// # Errors
    /// It does not fail in practice.
    pub fn of(events: &[(f64, Event)]) -> leasehold_core::Result<Self> {
        use leasehold_core::LockStore;
        let timing = Settings::new().resolve(&leasehold_core::MemoryStore::new().capabilities())?;
        let events = events.iter().map(|(at, event)| (Duration::from_secs_f64(*at), event.clone()));
        Ok(Self { timing, events: events.collect() })
    }

    /// Returns the number of terms that began.
    #[must_use]
    pub fn terms(&self) -> usize {
        self.events.iter().filter(|(_, event)| matches!(event, Event::Started(..))).count()
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
                        AttemptResult::Granted | AttemptResult::Refused | AttemptResult::Disabled
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
        Self { timing: self.timing.clone(), events }
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
