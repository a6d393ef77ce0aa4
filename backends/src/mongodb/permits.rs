//! How many commands of one store are under way at once.
//!
//! The others wait here, not for a connection of the driver's: that queue keeps the places of calls
//! that were dropped, and serves one place at each of its events, so that a few hundred dropped
//! calls would hold up the next ones for a minute. What holders do has permits of its own, so that
//! no number of waiters holds up a heartbeat.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::common::limit::CALL_LIMIT;
use crate::{Error, ErrorKind, Result};

/// How long a command waits for its permit.
const PERMIT_LIMIT: Duration = CALL_LIMIT.saturating_sub(Duration::from_secs(6));

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To keep, end or stop a lease: renewals, releases, disables and enables, and what an instance
    /// says of itself.
    Holder,
    /// Everything else: attempts to acquire, reads, and removing what is unused.
    Other,
}

/// How many commands of each purpose may be under way, and the connections that this takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) holders: u32,
    pub(super) others: u32,
    pub(super) connections: u32,
}

impl Sizes {
    /// What a store has unless it is told otherwise. Three connections more are for watches.
    pub(super) const DEFAULT: Self = Self { holders: 4, others: 8, connections: 16 };

    /// For a store that is to have that many connections for its calls: those of holders, and one
    /// for a watch, come on top.
    pub(super) fn of_calls(calls: NonZeroU32) -> Self {
        let others = calls.get();
        let holders = (others / 2).clamp(1, Self::DEFAULT.holders);
        Self { holders, others, connections: others.saturating_add(holders + 1) }
    }

    /// For a pool of that many connections, where 0 is any number.
    pub(super) fn of_pool(connections: u32) -> Self {
        if connections == 0 || connections >= Self::DEFAULT.connections {
            return Self { connections, ..Self::DEFAULT };
        }
        let holders = (connections / 4).clamp(1, Self::DEFAULT.holders);
        let others = connections.saturating_sub(holders + 1).clamp(1, Self::DEFAULT.others);
        Self { holders, others, connections }
    }
}

/// The permits of one store.
#[derive(Debug)]
pub(super) struct Permits {
    holders: Semaphore,
    others: Semaphore,
}

impl Permits {
    pub(super) fn new(sizes: Sizes) -> Self {
        let semaphore = |size| Semaphore::new(usize::try_from(size).unwrap_or(1));
        Self { holders: semaphore(sizes.holders), others: semaphore(sizes.others) }
    }

    /// Waits until a command of that purpose may go out.
    pub(super) async fn get(&self, purpose: Purpose) -> Result<SemaphorePermit<'_>> {
        let semaphore = match purpose {
            Purpose::Holder => &self.holders,
            Purpose::Other => &self.others,
        };
        let permit = timeout(PERMIT_LIMIT, semaphore.acquire()).await;
        permit.ok().and_then(std::result::Result::ok).ok_or_else(|| {
            let message = format!("earlier calls are under way for {PERMIT_LIMIT:?} already");
            Error::new(ErrorKind::Unavailable, message).with_fix("does the server hang?")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_holder_does_not_wait_behind_others() {
        let permits = Permits::new(Sizes::of_calls(NonZeroU32::MIN));
        let _other = permits.get(Purpose::Other).await.unwrap();
        let _holder = permits.get(Purpose::Holder).await.unwrap();
        assert_eq!(permits.others.available_permits(), 0);
    }

    #[test]
    fn permits_and_a_watch_fit_into_the_connections() {
        for calls in 1..40 {
            let sizes = Sizes::of_calls(NonZeroU32::new(calls).unwrap());
            assert_eq!(sizes.others, calls);
            assert_eq!(sizes.connections, sizes.holders + sizes.others + 1, "{sizes:?}");
        }
        for connections in 3..40 {
            let sizes = Sizes::of_pool(connections);
            assert!(sizes.holders >= 1 && sizes.others >= 1, "{sizes:?}");
            assert!(sizes.holders + sizes.others < connections, "{sizes:?}");
        }
        assert_eq!(Sizes::of_pool(0), Sizes { connections: 0, ..Sizes::DEFAULT });
        assert_eq!(Sizes::of_pool(1), Sizes { holders: 1, others: 1, connections: 1 });
    }
}
