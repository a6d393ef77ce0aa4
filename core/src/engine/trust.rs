//! How far a holder may trust its lease, by the clock at the moment it asks.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::{Clock, Moment, Reason};

/// Why a lease cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// It was not renewed in time; by now another may hold the lock.
    Expired,
    /// The store says that it is no more; another may hold the lock.
    Gone,
    /// An operator disabled the name. The lease still runs, to stop in.
    Disabled {
        /// Why, as the operator wrote.
        reason: Reason,
    },
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("the lease was not renewed in time"),
            Self::Gone => f.write_str("the store says that the lease is no more"),
            Self::Disabled { reason } => write!(f, "the lock was disabled: {reason}"),
        }
    }
}

/// The trust deadline of one lease, shared by whoever asks and whoever renews.
///
/// The answer to "is it held?" is a comparison with the clock at the call: no task needs to have
/// run for it to turn false.
#[derive(Debug)]
pub(crate) struct Trust {
    clock: Arc<dyn Clock>,
    /// Nanoseconds since the clock's origin; 0 once the lease is known to be over.
    deadline: AtomicU64,
    loss: Mutex<Option<Loss>>,
    changed: Notify,
}

impl Trust {
    pub(crate) fn until(deadline: Moment, clock: Arc<dyn Clock>) -> Self {
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
    pub(crate) fn end(&self, loss: Option<Loss>) {
        self.deadline.store(0, Ordering::SeqCst);
        self.set_loss(loss);
        self.changed.notify_waiters();
    }

    /// The lease runs, but will not be renewed.
    pub(crate) fn give_notice(&self, loss: Loss) {
        self.set_loss(Some(loss));
        self.changed.notify_waiters();
    }

    /// Returns once the lease cannot be kept, with the reason; never while it is in order.
    ///
    /// Dropping the future is safe.
    pub(crate) async fn lost(&self) -> Loss {
        loop {
            // Registered before the look, so that no change falls between the two.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(loss) = self.loss().clone() {
                return loss;
            }
            if !self.is_held() {
                return Loss::Expired;
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = self.clock.sleep_until(self.deadline()) => {}
            }
        }
    }

    /// Returns when the deadline is no longer the one given.
    pub(crate) async fn deadline_after(&self, seen: Moment) -> Moment {
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

    fn loss(&self) -> MutexGuard<'_, Option<Loss>> {
        self.loss.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_loss(&self, loss: Option<Loss>) {
        if let Some(loss) = loss {
            self.loss().get_or_insert(loss);
        }
    }
}

fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.since_origin().as_nanos()).unwrap_or(u64::MAX)
}
