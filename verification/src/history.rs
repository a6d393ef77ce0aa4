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
    /// A message to or from an instance was lost, refused, or late beyond what is usual; or one
    /// that was late took effect.
    Mishap(Process),
    /// The store granted the name to an instance. Like all that the store does, it is so whether
    /// or not the answer arrives: to the instance, a call that timed out is unknown.
    Granted(Process, Name, u64),
    /// The store extended an instance's lease to a whole ttl from now.
    Extended(Process, Name, u64),
    /// The store took a lease of the name back.
    Freed(Name, u64),
    /// An instance asked the store to renew these leases, in one call.
    Renewed(Process, Vec<(Name, u64)>),
    /// A hint at that name reached an instance, or one at any name.
    Hinted(Process, Option<Name>),
    /// An instance waits for a lock.
    Waits(Process, Name),
    /// It has the lock, or waits no more.
    WaitsNoMore(Process, Name),
    /// It has a lock's guard in its hands.
    Took(Process, Name, u64),
    /// The guard says that the lease cannot be kept, and why.
    Lost(Process, Name, u64, &'static str),
    /// The guard is released or dropped.
    GaveBack(Process, Name, u64),
    /// An instance trusts its lease until then, unless more is said.
    Trusts(Process, Name, u64, Duration),
    /// It was told that its lease is held, and relies on that.
    Relies(Process, Name, u64),
    /// It trusts its lease no more.
    Distrusts(Process, Name, u64),
    /// A leader was asked to give up the lead.
    Resigns(Process, Name, u64),
    /// A job's `start` was called.
    Started(Process, Name, u64),
    /// A job was told by its leadership that the term is to end.
    Cancelled(Process, Name, u64),
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
    /// Some code panicked, with these words.
    Panicked(String),
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
            let usual = matches!(
                fact,
                Fact::Mishap(_)
                    | Fact::Renewed(..)
                    | Fact::Extended(..)
                    | Fact::Hinted(..)
                    | Fact::Relies(..)
                    | Fact::Wrote(..)
            );
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
            | Self::Mishap(process)
            | Self::Renewed(process, _)
            | Self::Hinted(process, _)
            | Self::Granted(process, ..)
            | Self::Extended(process, ..)
            | Self::Waits(process, _)
            | Self::WaitsNoMore(process, _)
            | Self::Took(process, ..)
            | Self::Lost(process, ..)
            | Self::GaveBack(process, ..)
            | Self::Resigns(process, ..)
            | Self::Trusts(process, ..)
            | Self::Relies(process, ..)
            | Self::Cancelled(process, ..)
            | Self::Distrusts(process, ..)
            | Self::Started(process, ..)
            | Self::Stopping(process, ..)
            | Self::StartEnded(process, ..)
            | Self::Stopped(process, ..)
            | Self::Wrote(process, ..) => Some(*process),
            Self::Freed(..)
            | Self::Disabled(_)
            | Self::Enabled(_)
            | Self::Panicked(_)
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
