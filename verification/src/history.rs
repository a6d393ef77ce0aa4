//! What happened in a run, by a clock that stands outside of it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_core::{Settings, Timing};

/// What happened, in the order in which it did.
#[derive(Clone, Debug)]
pub struct History {
    /// The settings of every instance.
    pub timing: Timing,
    /// When, since the run began, and what.
    pub events: Vec<(Duration, Fact)>,
}

/// An instance, from its boot to its end; none comes twice.
pub type Process = usize;

/// A name that is locked or led, by its number.
pub type Name = usize;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// An instance began to campaign for the names that are led.
    Booted(Process),
    /// It was gone from one moment to the next.
    Crashed(Process),
    /// It was told to leave, and stops in order.
    Leaving(Process),
    /// It has left.
    Left(Process),
    /// None of its code runs from here.
    Froze(Process),
    /// It goes on.
    Thawed(Process),
    /// Its way to the store is no longer in order.
    Cut(Process),
    /// It is in order again.
    Mended(Process),
    /// A message was lost, refused, or late beyond what is usual; or one that was late took effect.
    Mishap,
    /// The store granted the name to an instance.
    Granted(Process, Name, u64),
    /// The store took a lease of the name back.
    Freed(Name),
    /// The store was asked to renew leases, in one call.
    Renewed(Process),
    /// A hint reached an instance.
    Hinted(Process),
    /// An instance trusts its lease until then, unless more is said.
    Trusts(Process, Name, u64, Duration),
    /// It does so no more.
    Distrusts(Process, Name, u64),
    /// A job's `start` was called.
    Started(Process, Name, u64),
    /// A job's `stop` was called.
    Stopping(Process, Name, u64, &'static str),
    /// `start` has come to its end, of itself or aborted.
    StartEnded(Process, Name, u64),
    /// `stop` has.
    Stopped(Process, Name, u64),
    /// Something was written under that token to what the lock protects, which refuses smaller
    /// ones than it has seen.
    Wrote(Process, Name, u64, Write),
    /// An operator disabled the name.
    Disabled(Name),
    /// An operator enabled it.
    Enabled(Name),
    /// Everything was shut down, and so many tasks were left.
    Ended {
        /// Tasks that no one waits for.
        tasks: usize,
    },
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It took effect.
    Accepted,
    /// It did not.
    Refused,
    /// It has or has not.
    Unknown,
}

/// Where facts are written down as they happen.
#[derive(Clone, Debug)]
pub struct Recorder {
    begun: tokio::time::Instant,
    timing: Timing,
    events: Arc<Mutex<Vec<(Duration, Fact)>>>,
}

impl Recorder {
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
    pub fn note(&self, fact: Fact) {
        let now = self.now();
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push((now, fact));
    }

    /// What was written down so far.
    #[must_use]
    pub fn history(&self) -> History {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner).clone();
        History { timing: self.timing.clone(), events }
    }
}

impl History {
    /// A history for a checker's own tests: seconds and facts, under the default settings.
    ///
    /// # Errors
    /// None in practice.
    pub fn of(events: &[(f64, Fact)]) -> leasehold_core::Result<Self> {
        use leasehold_core::LockStore;
        let timing = Settings::new().resolve(&leasehold_core::MemoryStore::new().capabilities())?;
        let events = events.iter().map(|(at, fact)| (Duration::from_secs_f64(*at), fact.clone()));
        Ok(Self { timing, events: events.collect() })
    }

    /// How many terms began.
    #[must_use]
    pub fn terms(&self) -> usize {
        self.events.iter().filter(|(_, fact)| matches!(fact, Fact::Started(..))).count()
    }

    /// Its last facts up to then, without those that come all the time.
    #[must_use]
    pub fn up_to(&self, then: Duration, most: usize) -> Self {
        let telling = |(at, fact): &&(Duration, Fact)| {
            let usual =
                matches!(fact, Fact::Mishap | Fact::Renewed(_) | Fact::Hinted(_) | Fact::Wrote(..));
            *at <= then && !usual
        };
        let telling: Vec<_> = self.events.iter().filter(telling).cloned().collect();
        let events = telling[telling.len().saturating_sub(most)..].to_vec();
        Self { timing: self.timing.clone(), events }
    }
}

impl Fact {
    /// The instance that it is about.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        match self {
            Self::Booted(process)
            | Self::Crashed(process)
            | Self::Leaving(process)
            | Self::Left(process)
            | Self::Froze(process)
            | Self::Thawed(process)
            | Self::Cut(process)
            | Self::Mended(process)
            | Self::Renewed(process)
            | Self::Hinted(process)
            | Self::Granted(process, ..)
            | Self::Trusts(process, ..)
            | Self::Distrusts(process, ..)
            | Self::Started(process, ..)
            | Self::Stopping(process, ..)
            | Self::StartEnded(process, ..)
            | Self::Stopped(process, ..)
            | Self::Wrote(process, ..) => Some(*process),
            Self::Mishap
            | Self::Freed(_)
            | Self::Disabled(_)
            | Self::Enabled(_)
            | Self::Ended { .. } => None,
        }
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
