//! One heartbeat renews all leases of a client: due renewals are sent together, in batches.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::lease_tick::LeaseTick;
use super::renewal_batch::{retry_at, send_and_reply};
use super::renewal_pace::RenewalPace;
use super::renewal_queue::{OnSent, QueuedRenewal, RenewalKey, RenewalQueue};
use super::{BackgroundRuntime, BoundedStore, TimedReply};
use crate::lease::RenewalWindow;
use crate::{Error, ErrorKind, Moment, RenewOptions, RenewOutcome};

/// A heartbeat collects renewals and sends them together.
///
/// Each renewal has a window in which it may be sent. When the first one is due, all whose window
/// is open are sent. So new leases join the next batch, and leases that were renewed together stay
/// together: ten thousand leases need only as many calls per interval as they fill batches. A
/// [pace](RenewalPace) says how many batches are in progress at once. The task runs from the first
/// renewal until the client is dropped, in the client's [background](BackgroundRuntime).
#[derive(Debug)]
pub(crate) struct Heartbeat {
    store: BoundedStore,
    background: Arc<BackgroundRuntime>,
    /// There is one queue per runtime, because a runtime that nobody drives sends nothing.
    queues: Mutex<HashMap<runtime::Id, Arc<RenewalQueue>>>,
}

/// This handle refers to a renewal that was requested.
#[derive(Clone, Debug)]
pub(crate) struct RenewalHandle {
    queue: Arc<RenewalQueue>,
    key: RenewalKey,
}

impl RenewalHandle {
    /// Calls `act` when the renewal is about to be sent, or now if it was sent already. A cancelled
    /// renewal drops `act`.
    pub(crate) fn on_sent(&self, act: OnSent) {
        self.queue.on_sent(self.key, act);
    }

    /// Cancels the renewal if it was not sent yet.
    pub(crate) fn cancel(&self) {
        self.queue.cancel(self.key);
    }
}

/// A pending renewal was requested and has no reply yet; awaiting it returns the reply.
///
/// Dropping it cancels the renewal if it was not sent yet, and otherwise ignores the reply.
#[derive(Debug)]
pub(crate) struct PendingRenewal {
    /// The renewal was to be sent at this moment, before it was put off.
    planned: Moment,
    handle: RenewalHandle,
    sent: Arc<OnceLock<Moment>>,
    reply: oneshot::Receiver<TimedReply<RenewOutcome>>,
}

impl PendingRenewal {
    /// Returns whether the renewal was sent to the store.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent_at().is_some()
    }

    /// Returns when the renewal was sent, or `None` if it was not sent yet.
    pub(crate) fn sent_at(&self) -> Option<Moment> {
        self.sent.get().copied()
    }

    /// Returns when the renewal was to be sent, before it was put off.
    pub(crate) fn planned(&self) -> Moment {
        self.planned
    }

    /// Notes that the renewal was to be sent at that moment, and was put off.
    pub(crate) fn planned_at(mut self, planned: Moment) -> Self {
        self.planned = planned;
        self
    }

    /// Returns the renewal's handle.
    pub(crate) fn handle(&self) -> RenewalHandle {
        self.handle.clone()
    }
}

impl Drop for PendingRenewal {
    fn drop(&mut self) {
        self.handle.cancel();
    }
}

impl Future for PendingRenewal {
    type Output = TimedReply<RenewOutcome>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The sender is dropped unused only if the runtime shuts down or the batch panics.
        Pin::new(&mut self.reply).poll(context).map(|reply| {
            reply.unwrap_or_else(|_| TimedReply {
                sent: self.handle.key.due(),
                outcome: Err(Error::new(
                    ErrorKind::OutcomeUnknown,
                    "the heartbeat task ended before the reply",
                )
                .during("renew")
                .on_store(self.handle.queue.store())),
            })
        })
    }
}

impl Heartbeat {
    pub(crate) fn new(store: BoundedStore, background: Arc<BackgroundRuntime>) -> Self {
        Self { store, background, queues: Mutex::default() }
    }

    /// Queues the renewal of one lease for the next batch that has room for it. The lease must be
    /// renewed by `renew_by`, or its holder has to stop.
    pub(crate) fn renew(
        &self,
        options: RenewOptions,
        window: RenewalWindow,
        renew_by: Moment,
    ) -> PendingRenewal {
        let (reply_to, reply) = oneshot::channel();
        let sent = Arc::new(OnceLock::new());
        let renewal = QueuedRenewal {
            options,
            window,
            renew_by,
            sent: sent.clone(),
            reply_to,
            on_sent: None,
        };
        let queue = self.queue();
        let handle = RenewalHandle { key: queue.add(renewal), queue };
        PendingRenewal { planned: window.latest, handle, sent, reply }
    }

    /// Waits until that moment, or forever without one, by the timer that all leases share. A task
    /// of the client's background calls this.
    pub(crate) fn tick(&self, at: Option<Moment>) -> LeaseTick {
        LeaseTick::new(self.queue(), self.store.clock().clone(), at)
    }

    /// Returns the queue of the present runtime, and starts the task that sends its renewals if
    /// there is none.
    fn queue(&self) -> Arc<RenewalQueue> {
        let runtime = self.background.runtime();
        let mut queues = self.queues.lock();
        // The queue is closed if the task's runtime was shut down.
        if let Some(open) = queues.get(&runtime.id()).filter(|queue| !queue.is_closed()) {
            return open.clone();
        }
        let queue = Arc::new(RenewalQueue::new(self.store.label().clone()));
        runtime.spawn(run(self.store.clone(), QueueOwner(queue.clone())));
        queues.retain(|_, queue| !queue.is_closed());
        queues.insert(runtime.id(), queue.clone());
        queue
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.queues.get_mut().values().for_each(|queue| queue.close());
    }
}

/// The task owns this value, which closes the queue however the task ends.
struct QueueOwner(Arc<RenewalQueue>);

impl Drop for QueueOwner {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// These are the batches in progress; each returns its number when its call has ended.
type BatchesInFlight = FuturesUnordered<BoxFuture<'static, u64>>;

/// Sends renewals until the client is dropped.
async fn run(store: BoundedStore, owner: QueueOwner) {
    let queue = &owner.0;
    let clock = store.clock().clone();
    let mut pace = RenewalPace::new(store.inner().capabilities().renew_batch);
    let mut in_flight = BatchesInFlight::new();
    while !queue.is_closed() {
        if queue.wake_ticks(clock.now()) {
            // What these tasks request now joins the renewals of others that are due.
            yield_now().await;
        }
        let next_send = send_due(&store, queue, &mut pace, &in_flight);
        let wakes_at = queue.plan_wake(next_send);
        tokio::select! {
            biased;
            () = queue.changed() => {}
            Some(number) = in_flight.next() => {
                pace.record_end(number);
                // The tasks of its leases handle the replies before the next batch is sent.
                yield_now().await;
            }
            () = async { clock.sleep_until(wakes_at.unwrap_or_default()).await },
                if wakes_at.is_some() => {}
        }
    }
}

/// Sends the batches that may be sent now. Returns when the next one may be sent, if renewals wait
/// for that.
fn send_due(
    store: &BoundedStore,
    queue: &RenewalQueue,
    pace: &mut RenewalPace,
    in_flight: &BatchesInFlight,
) -> Option<Moment> {
    loop {
        let now = store.clock().now();
        let ready = queue.collect_due(now);
        if ready == 0 {
            return None;
        }
        if !pace.has_room(ready, now) {
            let next_send = pace.next_send(&queue.ready_batches(pace.max_batch()), now);
            if now < next_send {
                return Some(next_send);
            }
        }
        let batch = queue.take_batch(pace.max_batch(), now);
        if batch.is_empty() {
            // They were cancelled.
            continue;
        }
        let retry_at = retry_at(&batch, now);
        let number = pace.record_send(batch.len(), now, retry_at);
        // A panic, such as one of a metrics recorder, costs only the replies of its batch: the
        // renewals in the queue are still sent.
        let sending = AssertUnwindSafe(send_and_reply(store.clone(), batch, retry_at));
        in_flight.push(sending.catch_unwind().map(move |_| number).boxed());
    }
}

#[cfg(test)]
mod tests;
