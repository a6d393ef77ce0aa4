//! A batch of renewals is one call to the store, whose replies are delivered to the leases.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::renewal_queue::{QueuedRenewal, RenewalCaller, TakenRenewal, TaskRenewal};
use super::renewed_lease::{RenewedLease, catch_panic};
use super::sent_batch::SentBatch;
use super::{BoundedStore, TimedReply};
use crate::{Error, ErrorKind, Moment, RenewOptions, RenewOutcome, Result};

/// A renewal batch is sent to the store in one call.
pub(super) struct RenewalBatch {
    leases: Vec<RenewOptions>,
    /// These get the replies, in the order of the leases.
    callers: Vec<Caller>,
    sent: Arc<SentBatch>,
    /// The batch is late from this moment on, because the first of its renewals is repeated.
    retry_at: Moment,
    /// Replies are useful until this moment.
    until: Moment,
}

/// The caller of a renewal that was sent gets its reply.
enum Caller {
    Lease(Arc<dyn RenewedLease>, u64),
    Task(oneshot::Sender<TimedReply<RenewOutcome>>),
}

/// The batch was sent at this moment and has these outcomes, in the order of its leases.
type Outcomes = (Moment, Vec<Result<RenewOutcome>>);

impl Caller {
    fn reply(self, reply: TimedReply<RenewOutcome>, now: impl FnOnce() -> Moment) {
        match self {
            Self::Lease(lease, number) => {
                // A lease that panics sends another renewal at its next tick.
                let _ = catch_panic(|| lease.replied(number, reply, now()));
            }
            Self::Task(reply_to) => drop(reply_to.send(reply)),
        }
    }
}

impl RenewalBatch {
    /// Creates a batch of renewals that were taken from the queue to be sent now, without those
    /// that must no longer be sent. Returns `None` if nothing is left to send.
    pub(super) fn new(taken: Vec<TakenRenewal>, now: Moment) -> Option<Self> {
        let sent = SentBatch::new(now);
        let mut renewals = Vec::with_capacity(taken.len());
        let (mut retry_at, mut until) = (None, Moment::ORIGIN);
        for (number, QueuedRenewal { times, caller }) in taken {
            let window = times.window;
            let (options, caller) = match caller {
                RenewalCaller::Lease(lease) => {
                    let send = || lease.clone().send(number, &sent);
                    let Some(options) = catch_panic(send).flatten() else { continue };
                    (options, Caller::Lease(lease, number))
                }
                RenewalCaller::Task(task) => {
                    let TaskRenewal { options, reply_to, .. } = *task;
                    (options, Caller::Task(reply_to))
                }
            };
            renewals.push((options, caller));
            // A batch that is sent late, after a pause of the machine or because others were ahead,
            // still has the usual time.
            let usual_time = window.retry_at.saturating_since(window.latest);
            let repeated_at = window.latest.max(now) + usual_time;
            retry_at = Some(retry_at.map_or(repeated_at, |at: Moment| at.min(repeated_at)));
            until = until.max(window.useful_until);
        }
        // Most stores sort a batch by name. Its leases are queued again in the order of the replies,
        // so that the next batch is mostly in order already, which a sort finds in one pass.
        renewals.sort_by(|(one, _), (next, _)| one.name.cmp(&next.name));
        let (leases, callers) = renewals.into_iter().unzip();
        Some(Self { leases, callers, sent, retry_at: retry_at?, until })
    }

    /// Returns how many leases the batch renews.
    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    /// Returns when the batch is late, because the first of its renewals is repeated.
    pub(super) fn retry_at(&self) -> Moment {
        self.retry_at
    }

    /// Sends the batch and delivers its replies. On error, every renewal in it gets that error.
    pub(super) async fn send(mut self, store: BoundedStore) {
        // A panic, such as one of a metrics recorder, costs only the replies of this batch.
        let outcomes = AssertUnwindSafe(self.outcomes(&store)).catch_unwind().await;
        let (sent, outcomes) = match outcomes {
            Ok(Some(outcomes)) => outcomes,
            Ok(None) => return,
            Err(_) => {
                let error = Error::new(ErrorKind::OutcomeUnknown, "the heartbeat panicked")
                    .during("renew")
                    .on_store(store.label());
                (self.sent.sent_at(), vec![Err(error); self.leases.len()])
            }
        };
        // The clock is read once. That a reply comes after the trust has ended is noticed even so.
        // If the clock panics, each lease reads it again, and the tasks need no time.
        let read_clock = || store.clock().now();
        let now = catch_panic(read_clock);
        for (caller, outcome) in self.callers.into_iter().zip(outcomes) {
            caller.reply(TimedReply { sent, outcome }, || now.unwrap_or_else(read_clock));
        }
    }

    /// Calls the store and records its reply. Returns the outcome of each lease, or `None` if no
    /// caller waits for the reply any longer.
    async fn outcomes(&mut self, store: &BoundedStore) -> Option<Outcomes> {
        let TimedReply { sent, outcome } = self.call(store).await?;
        store.metrics().record_renewals(self.leases.len(), &outcome);
        let outcomes: Vec<_> = match outcome {
            Ok(outcomes) => {
                let of_lease = |(outcome, lease)| {
                    let outcome = unknown_as_error(outcome, lease, store.label());
                    if let Err(error) = &outcome {
                        store.outages().record_failure(error, store.clock().now());
                    }
                    outcome
                };
                outcomes.into_iter().zip(&self.leases).map(of_lease).collect()
            }
            Err(error) => vec![Err(error); self.leases.len()],
        };
        Some((sent, outcomes))
    }

    /// Calls the store until it replies, or until no caller waits for the reply: calls that hang
    /// must not accumulate. No reply by `retry_at` counts as a failure of the store, though a later
    /// reply is used.
    async fn call(&mut self, store: &BoundedStore) -> Option<TimedReply<Vec<RenewOutcome>>> {
        let Self { leases, callers, sent: batch, retry_at, until } = self;
        let sent = store.clock().now();
        let all_callers_gone = async {
            for caller in callers {
                if let Caller::Task(reply_to) = caller {
                    reply_to.closed().await;
                }
            }
            batch.unawaited().await;
        };
        let mut all_callers_gone = pin!(all_callers_gone);
        // Each renewal waits for as long as a reply is useful, and the call lasts as long as any of
        // them waits: a retry is sent in parallel and does not end the call. A batch that is sent
        // late has less time.
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
                () = store.clock().sleep_until(*retry_at), if late.is_none() => {
                    let error = no_reply(store.label(), retry_at.saturating_since(sent));
                    store.outages().record_failure(&error, store.clock().now());
                    late = Some(error);
                }
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
mod tests;
