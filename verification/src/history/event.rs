//! What may happen in a run.

use std::time::Duration;

/// An instance, from its boot to its end; none comes twice.
pub type InstanceId = usize;

/// A name that is locked or led, by its number.
pub type NameId = usize;

/// An attempt of an instance at a lease, by its number; one for each lease id.
pub type AttemptId = usize;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An instance began to campaign for the names that are led.
    Booted(InstanceId),
    /// It was gone from one moment to the next.
    Crashed(InstanceId),
    /// It was told to leave, and stops in order.
    Leaving(InstanceId),
    /// It has left.
    Left(InstanceId),
    /// None of its code runs from here.
    Frozen(InstanceId),
    /// It goes on.
    Thawed(InstanceId),
    /// Its way to the store is no longer in order.
    LinkDegraded(InstanceId),
    /// It is in order again.
    LinkRestored(InstanceId),
    /// A message to or from an instance was lost, refused, or late beyond what is usual; or one
    /// that was late took effect.
    MessageFault(InstanceId),
    /// An instance asks the store for the name, by that attempt.
    AcquireSent(InstanceId, NameId, AttemptId),
    /// A call of that attempt is over for it: answered, or waited for no more.
    AcquireEnded(InstanceId, NameId, AttemptId, AttemptResult),
    /// An instance asks the store to take back what that attempt was granted, if anything.
    ReleaseSent(InstanceId, NameId, AttemptId),
    /// The store refused the name to an attempt of an instance, because of another attempt's lease.
    RefusedBy(InstanceId, NameId, AttemptId, AttemptId),
    /// The store granted the name to an instance. Like all that the store does, it is so whether
    /// or not the answer arrives: to the instance, a call that timed out is unknown.
    Granted(InstanceId, NameId, u64),
    /// The store extended an instance's lease to a whole ttl from now.
    Extended(InstanceId, NameId, u64),
    /// The store took a lease of the name back.
    Released(NameId, u64),
    /// An instance asked the store to renew these leases, in one call.
    Renewed(InstanceId, Vec<(NameId, u64)>),
    /// A hint at that name reached an instance, or one at any name.
    Hinted(InstanceId, Option<NameId>),
    /// An instance waits for a lock.
    WaitStarted(InstanceId, NameId),
    /// It has the lock, or waits no more.
    WaitEnded(InstanceId, NameId),
    /// It has a lock's guard in its hands.
    GuardAcquired(InstanceId, NameId, u64),
    /// The guard says that the lease cannot be kept, and why.
    GuardLost(InstanceId, NameId, u64, &'static str),
    /// The guard is released or dropped.
    GuardReleased(InstanceId, NameId, u64),
    /// An instance trusts its lease until then, unless more is said.
    TrustExtended(InstanceId, NameId, u64, Duration),
    /// It was told that its lease is held, and relies on that.
    ToldHeld(InstanceId, NameId, u64),
    /// It trusts its lease no more.
    TrustEnded(InstanceId, NameId, u64),
    /// A leader was asked to give up the lead.
    Resigns(InstanceId, NameId, u64),
    /// A job's `start` was called.
    Started(InstanceId, NameId, u64),
    /// A job was told by its leadership that the term is to end.
    Cancelled(InstanceId, NameId, u64),
    /// A job's `stop` was called.
    Stopping(InstanceId, NameId, u64, &'static str),
    /// `start` has come to its end, of itself or aborted.
    StartEnded(InstanceId, NameId, u64),
    /// `stop` has.
    Stopped(InstanceId, NameId, u64),
    /// `start` or `stop` was aborted, so that work that it began may go on.
    Aborted(InstanceId, NameId, u64),
    /// Something was written under that token to what the lock protects, which refuses smaller
    /// ones than it has seen.
    Wrote(InstanceId, NameId, u64, WriteResult),
    /// An operator disabled the name.
    Disabled(NameId),
    /// An operator enabled it.
    Enabled(NameId),
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
pub enum AttemptResult {
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
pub enum WriteResult {
    /// It took effect.
    Accepted,
    /// It did not.
    Refused,
    /// It has or has not.
    Unknown,
}

impl Event {
    /// The instance that it is about.
    #[must_use]
    pub fn process(&self) -> Option<InstanceId> {
        match self {
            Self::Booted(process)
            | Self::Crashed(process)
            | Self::Leaving(process)
            | Self::Left(process)
            | Self::Frozen(process)
            | Self::Thawed(process)
            | Self::LinkDegraded(process)
            | Self::LinkRestored(process)
            | Self::MessageFault(process)
            | Self::Renewed(process, _)
            | Self::Hinted(process, _)
            | Self::AcquireSent(process, ..)
            | Self::AcquireEnded(process, ..)
            | Self::ReleaseSent(process, ..)
            | Self::RefusedBy(process, ..)
            | Self::Granted(process, ..)
            | Self::Extended(process, ..)
            | Self::WaitStarted(process, _)
            | Self::WaitEnded(process, _)
            | Self::GuardAcquired(process, ..)
            | Self::GuardLost(process, ..)
            | Self::GuardReleased(process, ..)
            | Self::Resigns(process, ..)
            | Self::TrustExtended(process, ..)
            | Self::ToldHeld(process, ..)
            | Self::Cancelled(process, ..)
            | Self::TrustEnded(process, ..)
            | Self::Started(process, ..)
            | Self::Stopping(process, ..)
            | Self::StartEnded(process, ..)
            | Self::Aborted(process, ..)
            | Self::Stopped(process, ..)
            | Self::Wrote(process, ..) => Some(*process),
            Self::Released(..)
            | Self::Disabled(_)
            | Self::Enabled(_)
            | Self::Panicked(_)
            | Self::Ended { .. } => None,
        }
    }
}
