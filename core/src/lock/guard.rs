//! A guard represents a held lock and keeps its lease renewed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::held_lease::HeldLease;
use super::waiter::{Granted, Waiter};
use crate::lease::{AcquireAttempt, LossReason, TrustDeadline};
use crate::{FencingToken, LockName, Result};

/// A guard is a held lock of any kind; the client's heartbeat renews it until it is released or
/// dropped.
///
/// A guard cannot stop the work that is done under it: check [`is_held`](Self::is_held) before each
/// step that must not be done twice, watch [`lost`](Self::lost) during long ones, and pass the
/// [`token`](Self::token) to any resource that can refuse an older one.
///
/// If the name is disabled, the guard learns it from its first heartbeat, by default a fifth of the
/// ttl after the grant. After that heartbeat a hint tells it at once, if the store sends hints.
///
/// Heartbeats run on Leasehold's own thread, and the first is scheduled before `acquire` returns: a
/// task that computes or blocks keeps its lock, even on a runtime of one thread. That thread does
/// not help when the whole process is stopped or gets no processor time, nor when the application's
/// blocked runtime drives the store's connections. With a [`Clock`](crate::Clock) for tests,
/// heartbeats run in the caller's runtime, whose threads must then be free from time to time.
///
/// Dropping the guard releases the lock in the background at once. A program that is about to exit
/// calls [`release`](Self::release) instead.
#[must_use = "the lock is released as soon as its guard is dropped"]
pub struct Guard {
    attempt: AcquireAttempt,
    token: FencingToken,
    lease: Arc<HeldLease>,
}

impl Guard {
    /// Starts to renew the lease that was granted to a waiter.
    pub(super) fn new(waiter: Waiter, granted: Granted) -> Self {
        let Waiter { engine, name, machine, .. } = waiter;
        let Granted { mut attempt, token, floor, deadline, first_renewal } = granted;
        let trust = Arc::new(TrustDeadline::new(deadline, engine.store.clock().clone()));
        // Where the store has a queue, the client's next waiter enters it while this guard is held.
        if !attempt.is_entry() {
            attempt.set_holder(engine.local_queues(false).hold(name, trust.clone()));
        }
        engine.store.metrics().lock_acquired();
        let lease = HeldLease::begin(engine, &attempt, (trust, floor), machine, first_renewal);
        Self { attempt, token, lease }
    }

    /// Returns the lock's name.
    #[must_use]
    pub fn name(&self) -> &LockName {
        self.attempt.name()
    }

    /// Returns the fencing token of this grant, which is larger than that of every earlier grant.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// Returns the smallest token whose holder may still use the lock, as the latest heartbeat has
    /// shown it. For a lock that one call at a time holds, it is the [token](Self::token) itself.
    ///
    /// A resource that is used under a semaphore or by readers cannot refuse all older tokens,
    /// because several are valid. It keeps the largest floor that it was given, and refuses the
    /// tokens below it: those holders have left or expired.
    #[must_use]
    pub fn floor(&self) -> FencingToken {
        self.lease.floor()
    }

    /// Returns whether the lease may be trusted at the moment of this call.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.lease.trust().is_held()
    }

    /// Returns how long the lease may be trusted if no further heartbeat succeeds.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.lease.trust().remaining()
    }

    /// Waits until the lease is lost, and returns the reason. It does not return while the lease is
    /// renewed.
    ///
    /// After [`LossReason::Disabled`] the lease lasts for [`remaining`](Self::remaining); the
    /// holder must stop within that time.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect, and the method can be called again.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn lost(&self) -> LossReason {
        self.lease.trust().lost().await
    }

    /// Releases the lock, so that another holder can acquire it at once. It waits for the store no
    /// longer than the [leave timeout](crate::Timing::leave_timeout): 5 s by default.
    ///
    /// # Errors
    /// This fails with the store's error. The release is then tried once more in the background; if
    /// that fails too, the lease expires. A lease that was lost before is not an error.
    ///
    /// # Cancel safety
    /// If the future is dropped, the lock is released in the background.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn release(self) -> Result<()> {
        let limit = self.attempt.timing().leave_timeout();
        self.release_within(limit).await
    }

    /// Does the same as [`release`](Self::release), but waits for the store at most `limit`.
    ///
    /// # Errors
    /// This fails for the same reasons as [`release`](Self::release).
    ///
    /// # Cancel safety
    /// If the future is dropped, the lock is released in the background.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn release_within(mut self, limit: Duration) -> Result<()> {
        // The client's waiters ask for the lock when the release has ended, or when the lease is no
        // longer trusted. So the trust is left to expire.
        self.lease.end();
        self.attempt.release(limit).await?;
        Ok(())
    }
}

impl Drop for Guard {
    /// The attempt is dropped with the guard and releases a lease that may still be held.
    fn drop(&mut self) {
        self.lease.end();
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("name", self.name())
            .field("token", &self.token)
            .field("remaining", &self.remaining())
            .field("store", &self.attempt.engine().store.inner().label())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::lease::Machine;
    use crate::lock::held_state::LeaseRenewal;
    use crate::{Client, MemoryStore, TokioClock};

    /// A client may hold very many locks. The values that one of them needs once took 1,064 bytes,
    /// and its task several hundred more.
    #[test]
    fn a_held_lock_takes_little_memory() {
        let sizes = [
            ("guard", size_of::<Guard>(), 136),
            ("held lease", size_of::<HeldLease>(), 296),
            ("machine", size_of::<Machine>(), 144),
            ("requested renewal", size_of::<LeaseRenewal>(), 40),
            ("trust deadline", size_of::<TrustDeadline>(), 104),
        ];
        for (what, size, limit) in sizes {
            assert!(size <= limit, "a {what} takes {size} bytes, and {limit} are enough");
        }
    }

    /// Otherwise each of very many leases needs steps and memory of its own in the queue.
    #[tokio::test(start_paused = true)]
    async fn leases_that_were_renewed_together_share_a_group_of_the_queue() {
        let clock = Arc::new(TokioClock::new());
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        let client = Client::builder(store).clock(clock).build().unwrap();
        let mut guards = Vec::new();
        for number in 0..100 {
            let lock = client.lock(format!("lease-{number}")).unwrap();
            guards.push(lock.acquire(Duration::from_secs(1)).await.unwrap());
            sleep(Duration::from_millis(10)).await;
        }
        let queue = guards[0].attempt.engine().heartbeat.queue();
        assert_eq!(queue.waiting_groups(), 100, "each was granted at another moment");
        // The first heartbeat, three seconds after the first grant, renews all of them.
        sleep(Duration::from_secs(3)).await;
        assert_eq!(queue.waiting_groups(), 1);
        assert!(guards.iter().all(Guard::is_held));
    }
}
