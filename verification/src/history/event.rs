//! This module defines the events of a run.

use std::time::Duration;

/// This is the number of an instance, from its boot to its end. No number is used twice.
pub type InstanceId = usize;

/// This is the number of a name that is locked or led.
pub type NameId = usize;

/// This is the number of an instance's attempt to acquire a lease. Each lease id has its own
/// number.
pub type AttemptKind = usize;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An instance began to campaign for the names that are led.
    Booted(InstanceId),
    /// An instance crashed: it ended at once, without cleaning up.
    Crashed(InstanceId),
    /// An instance was asked to leave, and stops in an orderly way.
    Leaving(InstanceId),
    /// An instance has left.
    Left(InstanceId),
    /// An instance is frozen: no code of it runs from here on.
    Frozen(InstanceId),
    /// An instance continues.
    Thawed(InstanceId),
    /// The instance's link to the store has faults.
    LinkDegraded(InstanceId),
    /// The instance's link to the store has no faults again.
    LinkRestored(InstanceId),
    /// A message to or from an instance was lost, refused, or later than usual; or a late message
    /// took effect.
    MessageFault(InstanceId),
    /// An instance asks the store for the name in that attempt.
    AcquireSent(InstanceId, NameId, AttemptKind),
    /// A call of that attempt has ended for the instance: it was answered or timed out.
    AcquireEnded(InstanceId, NameId, AttemptKind, AttemptResult),
    /// An instance asks the store to release the lease of that attempt, or to remove its entry, if
    /// there is one.
    ReleaseSent(InstanceId, NameId, AttemptKind),
    /// The store refused the name to an attempt of an instance, or made it wait, because of the lease
    /// or the entry of another attempt.
    RefusedBy(InstanceId, NameId, AttemptKind, AttemptKind),
    /// The store granted the name to an instance, or answered that the instance's entry holds the
    /// lock. Like everything that the store does, this holds whether or not the reply arrives: for
    /// the instance, a call that timed out is unknown.
    Granted(InstanceId, NameId, u64),
    /// The store made an instance's entry in the queue of the name, with that token and weight.
    Entered(InstanceId, NameId, u64, u32),
    /// The store extended an instance's lease to a whole ttl from now, or its entry, which may wait.
    Extended(InstanceId, NameId, u64),
    /// The store released a lease of the name, or removed an entry that left.
    Released(NameId, u64),
    /// An instance asked the store to renew these leases in one call.
    Renewed(InstanceId, Vec<(NameId, u64)>),
    /// A hint about that name, or about any name, reached an instance.
    Hinted(InstanceId, Option<NameId>),
    /// An instance waits for a lock.
    WaitStarted(InstanceId, NameId),
    /// An instance has acquired the lock or no longer waits for it.
    WaitEnded(InstanceId, NameId),
    /// An instance has received the guard of a lock.
    GuardAcquired(InstanceId, NameId, u64),
    /// The guard reports that the lease cannot be kept, and why.
    GuardLost(InstanceId, NameId, u64, &'static str),
    /// The guard was released or dropped.
    GuardReleased(InstanceId, NameId, u64),
    /// An instance trusts its lease until then, unless a later event changes that.
    TrustExtended(InstanceId, NameId, u64, Duration),
    /// An instance was told that its lease is held, and relies on it.
    ToldHeld(InstanceId, NameId, u64),
    /// An instance no longer trusts its lease.
    TrustEnded(InstanceId, NameId, u64),
    /// A leader was asked to resign.
    Resigns(InstanceId, NameId, u64),
    /// The `start` of a job was called.
    Started(InstanceId, NameId, u64),
    /// The leadership told a job that the term must end.
    Cancelled(InstanceId, NameId, u64),
    /// The `stop` of a job was called.
    Stopping(InstanceId, NameId, u64, &'static str),
    /// The `start` of a job has ended, on its own or aborted.
    StartEnded(InstanceId, NameId, u64),
    /// The `stop` of a job has ended.
    Stopped(InstanceId, NameId, u64),
    /// `start` or `stop` was aborted, so that work that it began may continue.
    Aborted(InstanceId, NameId, u64),
    /// An instance wrote under that token and floor to the resource that the lock protects, which
    /// refuses a token smaller than a floor that it has seen.
    Wrote(InstanceId, NameId, u64, u64, WriteResult),
    /// An operator disabled the name.
    Disabled(NameId),
    /// An operator enabled the name.
    Enabled(NameId),
    /// Some code panicked with this message.
    Panicked(String),
    /// Everything was shut down.
    Ended {
        /// This is the number of tasks that were left.
        tasks: usize,
    },
}

/// This is the answer that an instance received for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// The instance has the lease.
    Granted,
    /// The instance has an entry, which waits.
    Queued,
    /// This call was granted nothing. An earlier call may have been granted the lease, or may still
    /// be.
    Refused,
    /// The name is disabled. If an earlier call was granted the lease, that lease is ending.
    Disabled,
    /// The instance does not know whether it has the lease.
    Unknown,
}

/// This is the result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// The write took effect.
    Accepted,
    /// The write did not take effect.
    Refused,
    /// The write may or may not have taken effect.
    Unknown,
}

impl Event {
    /// Returns the instance that the event is about.
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
            | Self::Entered(process, ..)
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
