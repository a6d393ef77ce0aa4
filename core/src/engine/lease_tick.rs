//! The task of a lease waits for a moment by the timer that all leases of its client share.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::renewal_queue::RenewalQueue;
use crate::{Clock, Moment};

/// A lease tick ends at a moment. Dropping it is safe.
///
/// The task that sends the renewals wakes it. A lease whose renewals are answered never gets there,
/// so it needs neither a timer of its own nor a look at the clock now and then.
#[derive(Debug)]
pub(crate) struct LeaseTick {
    queue: Arc<RenewalQueue>,
    clock: Arc<dyn Clock>,
    /// `None` means that the tick never comes.
    at: Option<Moment>,
    /// The queue has the tick under this number.
    number: Option<u64>,
}

impl LeaseTick {
    pub(super) fn new(queue: Arc<RenewalQueue>, clock: Arc<dyn Clock>, at: Option<Moment>) -> Self {
        Self { queue, clock, at, number: None }
    }
}

impl Future for LeaseTick {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        if self.clock.now() >= at {
            return Poll::Ready(());
        }
        let number = self.queue.set_tick(at, self.number, context.waker());
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for LeaseTick {
    fn drop(&mut self) {
        if let (Some(at), Some(number)) = (self.at, self.number) {
            self.queue.remove_tick(at, number);
        }
    }
}
