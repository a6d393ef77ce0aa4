//! What happened in a run, by a clock that stands outside of it.

mod event;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use event::{AttemptId, AttemptResult, Event, InstanceId, NameId, WriteResult};
use leasehold_core::{Settings, Timing};
use parking_lot::Mutex;

/// What happened, in the order in which it did.
#[derive(Clone, Debug)]
pub struct History {
    /// The settings of every instance.
    pub timing: Timing,
    /// When, since the run began, and what.
    pub events: Vec<(Duration, Event)>,
}

/// Where facts are written down as they happen.
#[derive(Clone, Debug)]
pub struct HistoryRecorder {
    begun: tokio::time::Instant,
    timing: Timing,
    events: Arc<Mutex<Vec<(Duration, Event)>>>,
}

impl HistoryRecorder {
    /// An empty history that begins now.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self { begun: tokio::time::Instant::now(), timing, events: Arc::default() }
    }

    /// The time since the history began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Writes down what happens now.
    pub fn record(&self, fact: Event) {
        let now = self.now();
        self.events.lock().push((now, fact));
    }

    /// What was written down so far.
    #[must_use]
    pub fn history(&self) -> History {
        let events = self.events.lock().clone();
        History { timing: self.timing.clone(), events }
    }
}

impl History {
    /// A history for a checker's own tests: seconds and facts, under the default settings.
    ///
    /// # Errors
    /// None in practice.
    pub fn of(events: &[(f64, Event)]) -> leasehold_core::Result<Self> {
        use leasehold_core::LockStore;
        let timing = Settings::new().resolve(&leasehold_core::MemoryStore::new().capabilities())?;
        let events = events.iter().map(|(at, fact)| (Duration::from_secs_f64(*at), fact.clone()));
        Ok(Self { timing, events: events.collect() })
    }

    /// How many terms began.
    #[must_use]
    pub fn terms(&self) -> usize {
        self.events.iter().filter(|(_, fact)| matches!(fact, Event::Started(..))).count()
    }

    /// Its last facts up to then, without those that come all the time.
    #[must_use]
    pub fn up_to(&self, then: Duration, most: usize) -> Self {
        let telling = |(at, fact): &&(Duration, Event)| {
            let usual = matches!(
                fact,
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
    /// A line per event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fact) in &self.events {
            writeln!(f, "{:>12.6}  {fact:?}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
