//! What may happen in a run.

use std::time::Duration;

/// An instance, from its boot to its end; none comes twice.
pub type Process = usize;

/// A name that is locked or led, by its number.
pub type Name = usize;

/// An attempt of an instance at a lease, by its number; one for each lease id.
pub type Attempt = usize;

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
    /// An instance asks the store for the name, by that attempt.
    Asks(Process, Name, Attempt),
    /// A call of that attempt is over for it: answered, or waited for no more.
    Told(Process, Name, Attempt, Answer),
    /// An instance asks the store to take back what that attempt was granted, if anything.
    GivesBack(Process, Name, Attempt),
    /// The store refused the name to an attempt of an instance, because of another attempt's lease.
    InTheWay(Process, Name, Attempt, Attempt),
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
    /// `start` or `stop` was aborted, so that work that it began may go on.
    Aborted(Process, Name, u64),
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

/// What an instance was told of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the lease.
    Granted,
    /// This call was granted nothing; an earlier one may have been, or may be yet.
    Refused,
    /// The name is disabled: if an earlier call was granted the lease, it is ending.
    Disabled,
    /// Nothing that says whether it has the lease.
    Unknown,
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
            | Self::Asks(process, ..)
            | Self::Told(process, ..)
            | Self::GivesBack(process, ..)
            | Self::InTheWay(process, ..)
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
            | Self::Aborted(process, ..)
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
