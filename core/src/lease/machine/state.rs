//! A lease's machine has these states.

use std::time::Duration;

use super::super::RenewalPlan;
use super::waiting_entry::WaitingEntry;
use crate::Moment;

/// A state has the data that the machine needs in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// The machine waits for its next attempt.
    Idle {
        until: Moment,
        jitter: Duration,
        /// A hint does not end the wait.
        ignore_hints: bool,
    },
    /// An attempt is in progress.
    Acquiring {
        /// A hint came since the request was sent.
        hinted: bool,
        /// An earlier request under the same lease id may have been granted.
        retry: bool,
    },
    /// The entry waits in the queue of the name, and is renewed. It is boxed because a machine in
    /// this state is not that of a held lease, of which there may be very many.
    Queued(Box<WaitingEntry>),
    /// The lease is held and renewed.
    Held { plan: RenewalPlan },
    /// The lease is no longer renewed; its holder stops its work.
    Ending { deadline: Moment },
    /// The lease is being released.
    Releasing {
        lease_ends: Moment,
        /// The next try comes at this moment; `None` while one is in progress.
        retry_at: Option<Moment>,
        attempts: u32,
        cooldown: Cooldown,
    },
    /// The machine has ended.
    Ended,
}

/// The cooldown is the time that a machine waits after a lease before its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cooldown {
    /// The machine tries again at once.
    None,
    /// The machine lets other instances receive the hint first: an operator who disables and
    /// enables a name, as [`Client::resign`](crate::Client::resign) does, wants another instance to
    /// lead.
    Resign,
    /// The machine waits for a short backoff, because the store failed.
    Failure,
    /// The machine waits for one poll interval, so that another instance gets the lease.
    Poll,
}

impl State {
    /// Returns the same state with every moment earlier by that duration.
    pub(super) fn shifted_back(&self, by: Duration) -> Self {
        let mut shifted = self.clone();
        let shift = |moment: &mut Moment| *moment = moment.saturating_sub(by);
        match &mut shifted {
            Self::Idle { until, .. } => shift(until),
            Self::Queued(entry) => entry.shift_back(by),
            Self::Held { plan } => *plan = plan.shifted_back(by),
            Self::Ending { deadline } => shift(deadline),
            Self::Releasing { lease_ends, retry_at, .. } => {
                shift(lease_ends);
                retry_at.as_mut().map(shift);
            }
            Self::Acquiring { .. } | Self::Ended => {}
        }
        shifted
    }
}
