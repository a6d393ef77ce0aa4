//! The trust deadline says whether a holder may trust its lease, by the clock at the moment of the
//! call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::LossReason;
use crate::{Clock, Moment};

/// The trust deadline of one lease is shared by the code that checks it and the code that renews
/// it.
///
/// Whether the lease is held is a comparison with the clock at the call: no task needs to run for
/// it to become false.
#[derive(Debug)]
pub(crate) struct TrustDeadline {
    clock: Arc<dyn Clock>,
    /// The deadline is in nanoseconds since the clock's origin; it is 0 once the lease is known to
    /// have ended.
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

    /// Returns whether the lease is trusted and not lost.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_held() && self.loss().is_none()
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.deadline().saturating_since(self.clock.now())
    }

    /// Sets the deadline, and returns whether the lease is still trusted: one that has ended is not
    /// trusted again.
    ///
    /// A later deadline wakes nobody. The waiters of [`lost`](Self::lost), of whom a process may
    /// have very many, look at the deadline again when the previous one has come. An earlier
    /// deadline, after a reply with less time left, wakes them.
    pub(crate) fn extend(&self, deadline: Moment) -> bool {
        let (now, deadline) = (nanos(self.clock.now()), nanos(deadline));
        let extend = |until: u64| (now < until).then_some(deadline);
        let previous = self.deadline.fetch_update(Ordering::SeqCst, Ordering::SeqCst, extend);
        if previous.is_ok_and(|previous| deadline < previous) {
            self.changed.notify_waiters();
        }
        previous.is_ok()
    }

    /// Does the same as [`extend`](Self::extend), and wakes the waiters of
    /// [`deadline_changed`](Self::deadline_changed).
    pub(crate) fn extend_and_notify(&self, deadline: Moment) -> bool {
        let extended = self.extend(deadline);
        self.changed.notify_waiters();
        extended
    }

    /// Ends the trust in the lease now.
    pub(crate) fn expire_now(&self, loss: Option<LossReason>) {
        self.deadline.store(0, Ordering::SeqCst);
        self.set_loss_reason(loss);
        self.changed.notify_waiters();
    }

    /// Records that the lease lasts until its deadline, but is no longer renewed.
    pub(crate) fn stop_renewing(&self, loss: LossReason) {
        self.set_loss_reason(Some(loss));
        self.changed.notify_waiters();
    }

    /// Waits until the lease is lost, and returns the reason. It does not return while the lease is
    /// renewed.
    ///
    /// Dropping the future is safe.
    pub(crate) async fn lost(&self) -> LossReason {
        loop {
            // The waiter is registered before the check, so that no change is missed in between.
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

    /// Waits until the deadline differs from `seen`, and returns it.
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Wake, Waker};

    use futures_util::FutureExt;

    use super::*;
    use crate::TokioClock;

    #[derive(Default)]
    struct CountedWakes(AtomicUsize);

    impl Wake for CountedWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_extension_does_not_wake_the_waiters_for_the_loss() {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let trust = TrustDeadline::new(Moment::from_secs(10), clock.clone());
        let wakes = Arc::new(CountedWakes::default());
        let waker = Waker::from(wakes.clone());
        let mut lost = pin!(trust.lost());
        assert!(lost.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(trust.extend(Moment::from_secs(20)));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
        assert_eq!(lost.await, LossReason::Expired);
        assert!(clock.now() >= Moment::from_secs(20), "the later deadline counts");
    }

    /// A reply may say that less of the lease is left than before.
    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_wakes_the_waiters_for_the_loss() {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let trust = TrustDeadline::new(Moment::from_secs(20), clock.clone());
        let mut lost = pin!(trust.lost());
        assert_eq!(lost.as_mut().now_or_never(), None);
        assert!(trust.extend(Moment::from_secs(10)));
        assert_eq!(lost.await, LossReason::Expired);
        assert!(clock.now() < Moment::from_secs(20), "the earlier deadline counts");
    }
}
