//! Limits how many commands of one store run at the same time.
//!
//! Further commands wait here and not for one of the driver's connections: the driver's queue keeps
//! the positions of dropped calls and serves one position per event, so that a few hundred dropped
//! calls would delay the next ones for a minute. Holders' commands have their own permits, so
//! that no number of waiters delays a heartbeat.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::common::timeout::CALL_LIMIT;
use crate::{Error, ErrorKind, Result};

/// A command waits this long for its permit.
const PERMIT_LIMIT: Duration = CALL_LIMIT.saturating_sub(Duration::from_secs(6));

/// The least number of connections: one for a holder's command, one for another one, and one for a
/// watch.
const MIN_CONNECTIONS: u32 = 3;

/// The kind of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PermitKind {
    /// The command keeps, ends or stops a lease, or announces an instance: renewals, releases,
    /// disables, enables and announcements.
    Holder,
    /// The command does anything else: it tries to acquire, reads, or prunes.
    Other,
}

/// How many commands of each kind may run at the same time, and how many connections they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) holders: u32,
    pub(super) others: u32,
    pub(super) connections: u32,
}

impl Sizes {
    /// The default sizes. Three further connections are for watches.
    pub(super) const DEFAULT: Self = Self { holders: 4, others: 8, connections: 16 };

    /// Returns the sizes for that many connections for calls. The connections for holders, and one
    /// for a watch, are added to these.
    pub(super) fn of_calls(calls: NonZeroU32) -> Self {
        let others = calls.get();
        let holders = (others / 2).clamp(1, Self::DEFAULT.holders);
        Self { holders, others, connections: others.saturating_add(holders + 1) }
    }

    /// Returns the sizes for a pool with that many connections; 0 means no limit.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for fewer than one connection each for a holder, for another
    /// call and for a watch.
    pub(super) fn of_pool(connections: u32) -> Result<Self> {
        if connections == 0 || connections >= Self::DEFAULT.connections {
            return Ok(Self { connections, ..Self::DEFAULT });
        }
        if connections < MIN_CONNECTIONS {
            let message = format!(
                "maxPoolSize={connections} is too small: heartbeats would wait for other calls"
            );
            return Err(Error::invalid(message).with_fix(format!(
                "write maxPoolSize={MIN_CONNECTIONS} or more, or leave it out"
            )));
        }
        let holders = (connections / 4).clamp(1, Self::DEFAULT.holders);
        let others = (connections - holders - 1).min(Self::DEFAULT.others);
        Ok(Self { holders, others, connections })
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

    /// Waits until a command of that kind may be sent.
    pub(super) async fn get(&self, purpose: PermitKind) -> Result<SemaphorePermit<'_>> {
        let semaphore = match purpose {
            PermitKind::Holder => &self.holders,
            PermitKind::Other => &self.others,
        };
        let permit = timeout(PERMIT_LIMIT, semaphore.acquire()).await;
        permit.ok().and_then(std::result::Result::ok).ok_or_else(|| {
            let message = format!("too many concurrent calls: no permit within {PERMIT_LIMIT:?}");
            let fix = "raise max_connections (maxPoolSize in the URL); is the server hanging?";
            Error::new(ErrorKind::Unavailable, message).with_fix(fix)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn heartbeats_have_their_own_permits() {
        let permits = Permits::new(Sizes::of_calls(NonZeroU32::MIN));
        let _other = permits.get(PermitKind::Other).await.unwrap();
        let _holder = permits.get(PermitKind::Holder).await.unwrap();
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
            let sizes = Sizes::of_pool(connections).unwrap();
            assert!(sizes.holders >= 1 && sizes.others >= 1, "{sizes:?}");
            assert!(sizes.holders + sizes.others < connections, "{sizes:?}");
        }
        assert_eq!(Sizes::of_pool(0).unwrap(), Sizes { connections: 0, ..Sizes::DEFAULT });
        assert!(Sizes::of_pool(1).is_err() && Sizes::of_pool(2).is_err());
    }
}
