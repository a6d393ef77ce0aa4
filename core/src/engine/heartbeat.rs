//! One heartbeat renews all leases of a client: due renewals are sent together, in batches.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::{consume_budget, yield_now};
use tokio::time::sleep;

use super::renewal_batch::RenewalBatch;
use super::renewal_pace::RenewalPace;
use super::renewal_queue::{
    QueuedRenewal, RenewalCaller, RenewalKey, RenewalQueue, RenewalTimes, TaskRenewal,
};
use super::renewed_lease::catch_panic;
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
///
/// The task of an election requests the renewals of its lease, and waits for each reply. A guard
/// has no task: the heartbeat's task gives its lease the replies, ticks and hints.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    store: BoundedStore,
    background: Arc<BackgroundRuntime>,
    /// There is one queue per runtime, because a runtime that nobody drives sends nothing.
    queues: Mutex<HashMap<runtime::Id, Arc<RenewalQueue>>>,
}

/// A pending renewal was requested and has no reply yet; awaiting it returns the reply.
///
/// Dropping it cancels the renewal if it was not sent yet, and otherwise ignores the reply.
#[derive(Debug)]
pub(crate) struct PendingRenewal {
    /// The renewal was to be sent at this moment, before it was put off.
    planned: Moment,
    queue: Arc<RenewalQueue>,
    key: RenewalKey,
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
}

impl Drop for PendingRenewal {
    fn drop(&mut self) {
        self.queue.cancel(self.key);
    }
}

impl Future for PendingRenewal {
    type Output = TimedReply<RenewOutcome>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The sender is dropped unused only if the runtime shuts down or the batch panics.
        Pin::new(&mut self.reply).poll(context).map(|reply| {
            reply.unwrap_or_else(|_| TimedReply {
                sent: self.key.due(),
                outcome: Err(Error::new(
                    ErrorKind::OutcomeUnknown,
                    "the heartbeat task ended before the reply",
                )
                .during("renew")
                .on_store(self.queue.store())),
            })
        })
    }
}

impl Heartbeat {
    pub(crate) fn new(store: BoundedStore, background: Arc<BackgroundRuntime>) -> Self {
        Self { store, background, queues: Mutex::default() }
    }

    /// Queues the renewal of one lease for the next batch that has room for it, for a task that
    /// waits for the reply. The lease must be renewed by `renew_by`, or its holder has to stop.
    pub(crate) fn renew(
        &self,
        options: RenewOptions,
        window: RenewalWindow,
        renew_by: Moment,
    ) -> PendingRenewal {
        let (reply_to, reply) = oneshot::channel();
        let sent = Arc::new(OnceLock::new());
        let task = Box::new(TaskRenewal { options, sent: sent.clone(), reply_to });
        let times = RenewalTimes { window, renew_by, next_tick: None };
        let queue = self.queue();
        let key = queue.add(QueuedRenewal { times, caller: RenewalCaller::Task(task) });
        PendingRenewal { planned: window.latest, queue, key, sent, reply }
    }

    /// Returns the queue of the present runtime, and starts the task that sends its renewals if
    /// there is none.
    pub(crate) fn queue(&self) -> Arc<RenewalQueue> {
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

/// After a panic of the store or of the clock, the heartbeat pauses for this long.
const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(1);

/// Sends renewals and drives the held leases until the client is dropped, also after a panic: the
/// leases depend on this task.
async fn run(store: BoundedStore, owner: QueueOwner) {
    while AssertUnwindSafe(drive(&store, &owner.0)).catch_unwind().await.is_err() {
        sleep(PAUSE_AFTER_PANIC).await;
    }
}

async fn drive(store: &BoundedStore, queue: &RenewalQueue) {
    let clock = store.clock().clone();
    let mut pace = RenewalPace::new(store.inner().capabilities().renew_batch);
    let mut in_flight = BatchesInFlight::new();
    while !queue.is_closed() {
        let now = clock.now();
        // After a pause of the machine, a renewal and its tick may both be overdue. The tick comes
        // first, because a lease that expired during the pause must not be renewed.
        queue.collect_due(now);
        if tell_leases(queue, now).await {
            // The tasks of elections may have a tick at the same moment: the renewals that they
            // request join this batch. And hints that never end must not keep other tasks from
            // running.
            yield_now().await;
        }
        let next_send = send_due(store, queue, &mut pace, &in_flight);
        let wakes_at = queue.plan_wake(next_send);
        tokio::select! {
            biased;
            // This also sends the batches. It is first because hints that never end would change the
            // queue each time.
            Some(number) = in_flight.next() => {
                pace.record_end(number);
                // The tasks of elections handle the replies before the next batch is sent.
                yield_now().await;
            }
            () = queue.changed() => {}
            () = async { clock.sleep_until(wakes_at.unwrap_or_default()).await },
                if wakes_at.is_some() => {}
        }
    }
}

/// Tells the held leases of their ticks and hints, and returns whether there were any. The renewals
/// that they request now join those of others that are due.
async fn tell_leases(queue: &RenewalQueue, now: Moment) -> bool {
    let events = queue.take_events(now);
    let any = !events.ticked.is_empty() || !events.hinted.is_empty();
    for (tick, lease) in events.ticked {
        let _ = catch_panic(|| lease.ticked(tick, now));
        // A store that hangs, or a hint, may concern very many leases at once.
        consume_budget().await;
    }
    for lease in events.hinted {
        let _ = catch_panic(|| lease.follow_hint());
        consume_budget().await;
    }
    any
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
        let taken = queue.take_batch(pace.max_batch(), now);
        let Some(batch) = RenewalBatch::new(taken, now) else {
            // They were cancelled.
            continue;
        };
        let number = pace.record_send(batch.len(), now, batch.retry_at());
        // A panic costs only the replies of its batch: the renewals in the queue are still sent.
        let sending = AssertUnwindSafe(batch.send(store.clone()));
        in_flight.push(sending.catch_unwind().map(move |_| number).boxed());
    }
}

#[cfg(test)]
mod tests;
