//! One heartbeat renews all leases of a client: due renewals are sent together, in batches.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::oneshot;

use super::renewal_queue::{OnSent, QueuedRenewal, RenewalKey, RenewalQueue};
use super::{BackgroundRuntime, BoundedStore, TimedReply};
use crate::lease::RenewalWindow;
use crate::{Error, ErrorKind, Moment, RenewOptions, RenewOutcome, Result};

/// A heartbeat collects renewals and sends them together.
///
/// Each renewal has a window in which it may be sent. When the first one is due, all whose window
/// is open are sent. So new leases join the next batch, and leases that were renewed together stay
/// together: ten thousand leases need only as many calls per interval as they fill batches. The
/// task runs from the first renewal until the client is dropped, in the client's
/// [background](BackgroundRuntime).
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
    due: Moment,
    handle: RenewalHandle,
    sent: Arc<AtomicBool>,
    reply: oneshot::Receiver<TimedReply<RenewOutcome>>,
    store: Arc<str>,
}

impl PendingRenewal {
    /// Returns whether the renewal was sent to the store.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::SeqCst)
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
                sent: self.due,
                outcome: Err(Error::new(
                    ErrorKind::OutcomeUnknown,
                    "the heartbeat task ended before the reply",
                )
                .during("renew")
                .on_store(&self.store)),
            })
        })
    }
}

impl Heartbeat {
    pub(crate) fn new(store: BoundedStore, background: Arc<BackgroundRuntime>) -> Self {
        Self { store, background, queues: Mutex::default() }
    }

    /// Queues the renewal of one lease for the next batch that has room for it.
    pub(crate) fn renew(&self, options: RenewOptions, window: RenewalWindow) -> PendingRenewal {
        let (reply_to, reply) = oneshot::channel();
        let sent = Arc::new(AtomicBool::new(false));
        let renewal =
            QueuedRenewal { options, window, sent: sent.clone(), reply_to, on_sent: None };
        let queue = self.queue();
        let handle = RenewalHandle { key: queue.add(renewal), queue };
        PendingRenewal {
            due: window.latest,
            handle,
            sent,
            reply,
            store: self.store.label().clone(),
        }
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
        let queue = Arc::new(RenewalQueue::default());
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

/// Sends renewals until the client is dropped.
async fn run(store: BoundedStore, owner: QueueOwner) {
    let queue = &owner.0;
    let mut in_flight: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    while !queue.is_closed() {
        let first_due = queue.plan_wake();
        let clock = store.clock().clone();
        tokio::select! {
            biased;
            () = queue.changed() => {}
            Some(()) = in_flight.next() => {}
            () = async { clock.sleep_until(first_due.unwrap_or_default()).await },
                if first_due.is_some() =>
            {
                for batch in queue.take_due(clock.now(), store.inner().capabilities().renew_batch) {
                    // A panic, such as one of a metrics recorder, costs only the replies of its
                    // batch: the renewals in the queue are still sent.
                    let sending = AssertUnwindSafe(send_and_reply(store.clone(), batch));
                    in_flight.push(sending.catch_unwind().map(drop).boxed());
                }
            }
        }
    }
}

/// Sends one batch and delivers its replies. On error, every renewal in it gets that error.
async fn send_and_reply(store: BoundedStore, batch: Vec<QueuedRenewal>) {
    let now = store.clock().now();
    // A batch that is sent late, after a pause of the machine, still has the usual time.
    let retry_after = |window: RenewalWindow| window.retry_at.saturating_since(window.latest);
    let retry_at = batch
        .iter()
        .map(|it| it.window.latest.max(now) + retry_after(it.window))
        .min()
        .unwrap_or(now);
    // Each renewal waits for as long as a reply is useful, and the call lasts as long as any of
    // them waits: a retry is sent in parallel and does not end the call.
    let until = batch.iter().map(|renewal| renewal.window.useful_until).max().unwrap_or(now);
    let (leases, mut callers): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|renewal| (renewal.options, renewal.reply_to)).unzip();
    let Some(TimedReply { sent, outcome }) =
        send_batch(&store, &leases, &mut callers, retry_at, until).await
    else {
        return;
    };
    store.metrics().record_renewals(leases.len(), &outcome);
    match outcome {
        Ok(outcomes) => {
            for ((caller, outcome), lease) in callers.into_iter().zip(outcomes).zip(&leases) {
                let outcome = unknown_as_error(outcome, lease, store.label());
                if let Err(error) = &outcome {
                    store.outages().record_failure(error, store.clock().now());
                }
                drop(caller.send(TimedReply { sent, outcome }));
            }
        }
        Err(error) => {
            for caller in callers {
                drop(caller.send(TimedReply { sent, outcome: Err(error.clone()) }));
            }
        }
    }
}

/// Calls the store until it replies, or until no caller waits for the reply: calls that hang must
/// not pile up. No reply by `retry_at` counts as a failure of the store, though a later reply is
/// used.
async fn send_batch(
    store: &BoundedStore,
    leases: &[RenewOptions],
    callers: &mut [oneshot::Sender<TimedReply<RenewOutcome>>],
    retry_at: Moment,
    until: Moment,
) -> Option<TimedReply<Vec<RenewOutcome>>> {
    let sent = store.clock().now();
    let all_callers_gone = async {
        for caller in callers {
            caller.closed().await;
        }
    };
    let mut all_callers_gone = pin!(all_callers_gone);
    let mut call = pin!(store.renew(leases, until.saturating_since(sent)));
    let mut late = None;
    loop {
        tokio::select! {
            biased;
            reply = &mut call => return Some(reply),
            () = &mut all_callers_gone => {
                // Without a reply in time the call has failed, unless its leases were released.
                if let Some(error) = late {
                    store.metrics().record_renewals(leases.len(), &Err(error));
                }
                return None;
            }
            () = store.clock().sleep_until(retry_at), if late.is_none() => {
                let error = no_reply(store.label(), retry_at.saturating_since(sent));
                store.outages().record_failure(&error, store.clock().now());
                late = Some(error);
            }
        }
    }
}

/// Returns the error of a renewal that has had no reply for that long.
fn no_reply(store: &str, waited: Duration) -> Error {
    Error::new(ErrorKind::OutcomeUnknown, format!("no reply within {waited:?}"))
        .during("renew")
        .on_store(store)
}

/// Turns an unknown outcome into an error, which is a failed heartbeat of that lease alone.
fn unknown_as_error(
    outcome: RenewOutcome,
    lease: &RenewOptions,
    store: &str,
) -> Result<RenewOutcome> {
    match outcome {
        RenewOutcome::Unknown { why } => Err(Error::new(ErrorKind::OutcomeUnknown, why)
            .during("renew")
            .for_lock(&lease.name)
            .on_store(store)),
        outcome => Ok(outcome),
    }
}
