//! One heartbeat renews all leases of a client: due renewals are sent together, in batches.

use std::collections::{BTreeMap, HashMap};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use super::{BackgroundRuntime, BoundedStore, TimedReply};
use crate::lease::RenewalWindow;
use crate::{Error, ErrorKind, Moment, RenewOptions, RenewOutcome, Result};

/// A heartbeat collects renewals and sends them together.
///
/// Each renewal has a window in which it may be sent. When the first one is due, all whose window
/// is open are sent. So new leases join the next batch, and leases that were renewed together stay
/// together: ten thousand leases need only as many calls per interval as they fill batches. The
/// task runs while there is a client, in its [background](BackgroundRuntime).
#[derive(Debug)]
pub(crate) struct Heartbeat {
    store: BoundedStore,
    background: Arc<BackgroundRuntime>,
    /// There is one queue per runtime, because a runtime that nobody drives sends nothing.
    queues: Mutex<HashMap<runtime::Id, mpsc::UnboundedSender<QueuedRenewal>>>,
}

#[derive(Debug)]
struct QueuedRenewal {
    options: RenewOptions,
    window: RenewalWindow,
    sent: Arc<AtomicBool>,
    reply_to: oneshot::Sender<TimedReply<RenewOutcome>>,
}

/// A pending renewal was requested and has no reply yet; awaiting it returns the reply.
///
/// Dropping it cancels the renewal if it was not sent yet, and otherwise ignores the reply.
#[derive(Debug)]
pub(crate) struct PendingRenewal {
    due: Moment,
    sent: Arc<AtomicBool>,
    reply: oneshot::Receiver<TimedReply<RenewOutcome>>,
    store: Arc<str>,
}

impl PendingRenewal {
    /// Returns whether the renewal was sent to the store.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::SeqCst)
    }
}

impl Future for PendingRenewal {
    type Output = TimedReply<RenewOutcome>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The sender is dropped unused only if the runtime shuts down or the store panics.
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
        self.enqueue(QueuedRenewal { options, window, sent: sent.clone(), reply_to });
        PendingRenewal { due: window.latest, sent, reply, store: self.store.label().clone() }
    }

    fn enqueue(&self, renewal: QueuedRenewal) {
        let runtime = self.background.runtime();
        let mut queues = self.queues.lock();
        let renewal = match queues.get(&runtime.id()) {
            // This fails if the task's runtime was shut down.
            Some(open) => match open.send(renewal) {
                Ok(()) => return,
                Err(mpsc::error::SendError(renewal)) => renewal,
            },
            None => renewal,
        };
        let (open, renewals) = mpsc::unbounded_channel();
        runtime.spawn(run(self.store.clone(), renewals));
        // The task has just been spawned and has the receiver.
        let _ = open.send(renewal);
        queues.retain(|_, queue| !queue.is_closed());
        queues.insert(runtime.id(), open);
    }
}

/// Sends renewals until the client is dropped.
async fn run(store: BoundedStore, mut renewals: mpsc::UnboundedReceiver<QueuedRenewal>) {
    let mut waiting = RenewalQueue::default();
    let mut in_flight: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    loop {
        let first_due = waiting.first_due();
        let clock = store.clock().clone();
        tokio::select! {
            biased;
            renewal = renewals.recv() => match renewal {
                Some(renewal) => waiting.add(renewal),
                None => return,
            },
            Some(()) = in_flight.next() => {}
            () = async { clock.sleep_until(first_due.unwrap_or_default()).await },
                if first_due.is_some() =>
            {
                for batch in waiting.take_due(clock.now(), store.inner().capabilities().renew_batch) {
                    in_flight.push(Box::pin(send_and_reply(store.clone(), batch)));
                }
            }
        }
    }
}

/// The queue has the renewals that were not sent yet, ordered by when they are due.
#[derive(Debug, Default)]
struct RenewalQueue {
    by_due: BTreeMap<(Moment, u64), QueuedRenewal>,
    added: u64,
}

impl RenewalQueue {
    fn add(&mut self, renewal: QueuedRenewal) {
        self.added += 1;
        self.by_due.insert((renewal.window.latest, self.added), renewal);
    }

    fn first_due(&self) -> Option<Moment> {
        self.by_due.keys().next().map(|(due, _)| *due)
    }

    /// Takes every renewal that may be sent now, in batches of at most `max_batch`.
    fn take_due(&mut self, now: Moment, max_batch: usize) -> Vec<Vec<QueuedRenewal>> {
        self.by_due.retain(|_, renewal| !renewal.reply_to.is_closed());
        let open = self.by_due.extract_if(.., |_, renewal| renewal.window.earliest <= now);
        let mut batches = Vec::new();
        let mut batch = Vec::new();
        for (_, renewal) in open {
            // From here on the renewal cannot be cancelled.
            renewal.sent.store(true, Ordering::SeqCst);
            if batch.len() == max_batch.max(1) {
                // Each batch gets its own buffer of the size that it needs.
                batches.push(std::mem::take(&mut batch));
            }
            batch.push(renewal);
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        batches
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LeaseId, LockName};

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    fn renewal(
        from: u64,
        due: u64,
    ) -> (QueuedRenewal, oneshot::Receiver<TimedReply<RenewOutcome>>) {
        let (reply_to, reply) = oneshot::channel();
        let options = RenewOptions {
            name: LockName::new("a").unwrap(),
            lease: LeaseId::new(),
            ttl: Duration::from_secs(1),
        };
        let window = RenewalWindow {
            earliest: at(from),
            latest: at(due),
            retry_at: at(due + 10),
            useful_until: at(due + 30),
        };
        (QueuedRenewal { options, window, sent: Arc::default(), reply_to }, reply)
    }

    #[test]
    fn renewals_whose_window_is_open_join_the_batch_that_is_due() {
        let mut waiting = RenewalQueue::default();
        let (first, _keep_first) = renewal(75, 100);
        let (second, _keep_second) = renewal(95, 120);
        let (third, _keep_third) = renewal(105, 130);
        for renewal in [third, second, first] {
            waiting.add(renewal);
        }
        assert_eq!(waiting.first_due(), Some(at(100)));
        let batches = waiting.take_due(at(100), 500);
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].len(), 2);
        assert_eq!(waiting.first_due(), Some(at(130)));
    }

    #[test]
    fn batches_respect_the_stores_renew_batch() {
        let mut waiting = RenewalQueue::default();
        let mut keep = Vec::new();
        for _ in 0..25 {
            let (renewal, reply) = renewal(0, 0);
            keep.push(reply);
            waiting.add(renewal);
        }
        let sizes: Vec<_> = waiting.take_due(at(0), 10).iter().map(Vec::len).collect();
        assert_eq!(sizes, [10, 10, 5]);
    }

    /// Each batch used to keep a buffer that was large enough for all later ones.
    #[test]
    fn batches_take_no_more_memory_than_their_renewals_need() {
        let mut waiting = RenewalQueue::default();
        let mut keep = Vec::new();
        for _ in 0..10_000 {
            let (renewal, reply) = renewal(0, 0);
            keep.push(reply);
            waiting.add(renewal);
        }
        let batches = waiting.take_due(at(0), 100);
        let room: usize = batches.iter().map(Vec::capacity).sum();
        assert!(room <= 2 * 10_000, "room for {room} renewals");
    }

    #[test]
    fn a_cancelled_renewal_is_not_sent() {
        let mut waiting = RenewalQueue::default();
        let (renewal, reply) = renewal(0, 0);
        waiting.add(renewal);
        drop(reply);
        assert!(waiting.take_due(at(0), 10).is_empty());
    }
}
