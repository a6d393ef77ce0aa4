//! Where a machine is in its round: waiting, asking, leading, stopping, releasing.

use std::time::Duration;

use super::super::StopReason;
use crate::Moment;
use crate::engine::RenewalPlan;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Waiting {
        until: Moment,
        spread: Duration,
        deaf: bool,
    },
    Asking {
        hinted: bool,
        again: bool,
    },
    Leading {
        plan: RenewalPlan,
    },
    Stopping {
        reason: StopReason,
        lease_ends: Moment,
        stop_until: Moment,
        aborted: bool,
        /// Some of the job was aborted and may go on, so the lease is not released.
        let_expire: bool,
    },
    Releasing {
        lease_ends: Moment,
        retry: Option<Moment>,
        tries: u32,
        rest: Rest,
    },
    Ended,
}

/// What an instance does after a term, before it campaigns again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rest {
    /// Ask again at once.
    None,
    /// Let others hear of it first: an operator who disables and enables a name, as
    /// [`Client::resign`](crate::Client::resign) does, means the lead to move on.
    Brief,
    /// Wait a little, since the store failed.
    Short,
    /// Let others have the lead first.
    Long,
}

impl Phase {
    /// The same with every moment that much earlier.
    pub(super) fn earlier(&self, by: Duration) -> Self {
        let mut earlier = self.clone();
        let shift = |moment: &mut Moment| *moment = moment.saturating_sub(by);
        match &mut earlier {
            Self::Waiting { until, .. } => shift(until),
            Self::Leading { plan } => *plan = plan.earlier(by),
            Self::Stopping { lease_ends, stop_until, .. } => {
                shift(lease_ends);
                shift(stop_until);
            }
            Self::Releasing { lease_ends, retry, .. } => {
                shift(lease_ends);
                retry.as_mut().map(shift);
            }
            Self::Asking { .. } | Self::Ended => {}
        }
        earlier
    }
}
