//! How far a holder may trust its lease, by the clock at the moment it asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::LossReason;
use crate::{Clock, Moment};

/// The trust deadline of one lease, shared by whoever asks and whoever renews.
///
/// The answer to "is it held?" is a comparison with the clock at the call: no task needs to have
/// run for it to turn false.
#[derive(Debug)]
pub(crate) struct TrustDeadline {
    clock: Arc<dyn Clock>,
    /// Nanoseconds since the clock's origin; 0 once the lease is known to be over.
    deadline: AtomicU64,
    loss: Mutex<Option<LossReason>>,
    changed: Notify,
}

impl TrustDeadline {
    pub(crate) fn new(deadline: Moment, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            deadline: AtomicU64::new(nanos(deadline)),
            loss: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(crate) fn deadline(&self) -> Moment {
        Moment::from_origin(Duration::from_nanos(self.deadline.load(Ordering::SeqCst)))
    }

    pub(crate) fn is_held(&self) -> bool {
        self.clock.now() < self.deadline()
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.deadline().saturating_since(self.clock.now())
    }

    /// Sets a later deadline, and returns whether the lease is still trusted: one that is over
    /// stays over.
    pub(crate) fn extend(&self, deadline: Moment) -> bool {
        let now = nanos(self.clock.now());
        let extended = self
            .deadline
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |until| {
                (now < until).then(|| nanos(deadline))
            })
            .is_ok();
        self.changed.notify_waiters();
        extended
    }

    /// The lease is not to be trusted from now on.
    pub(crate) fn expire_now(&self, loss: Option<LossReason>) {
        self.deadline.store(0, Ordering::SeqCst);
        self.set_loss_reason(loss);
        self.changed.notify_waiters();
    }

    /// The lease runs, but will not be renewed.
    pub(crate) fn stop_renewing(&self, loss: LossReason) {
        self.set_loss_reason(Some(loss));
        self.changed.notify_waiters();
    }

    /// Returns once the lease cannot be kept, with the reason; never while it is in order.
    ///
    /// Dropping the future is safe.
    pub(crate) async fn lost(&self) -> LossReason {
        loop {
            // Registered before the look, so that no change falls between the two.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(loss) = self.loss().clone() {
                return loss;
            }
            if !self.is_held() {
                return LossReason::Expired;
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = self.clock.sleep_until(self.deadline()) => {}
            }
        }
    }

    /// Returns when the deadline is no longer the one given.
    pub(crate) async fn deadline_changed(&self, seen: Moment) -> Moment {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let deadline = self.deadline();
            if deadline != seen {
                return deadline;
            }
            changed.await;
        }
    }

    fn loss(&self) -> MutexGuard<'_, Option<LossReason>> {
        self.loss.lock()
    }

    fn set_loss_reason(&self, loss: Option<LossReason>) {
        if let Some(loss) = loss {
            self.loss().get_or_insert(loss);
        }
    }
}

fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.since_origin().as_nanos()).unwrap_or(u64::MAX)
}
