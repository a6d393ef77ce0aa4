//! A batch of renewals is one call to the store, whose replies are delivered to the leases.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::oneshot;

use super::renewal_queue::QueuedRenewal;
use super::{BoundedStore, TimedReply};
use crate::lease::RenewalWindow;
use crate::{Error, ErrorKind, Moment, RenewOptions, RenewOutcome, Result};

/// Returns when a batch that is sent now is late, because the first of its renewals is repeated. A
/// batch that is sent late, after a pause of the machine or because others were ahead, still has
/// the usual time.
pub(super) fn retry_at(batch: &[QueuedRenewal], now: Moment) -> Moment {
    let retry_after = |window: RenewalWindow| window.retry_at.saturating_since(window.latest);
    let retry_at = |it: &QueuedRenewal| it.window.latest.max(now) + retry_after(it.window);
    batch.iter().map(retry_at).min().unwrap_or(now)
}

/// Sends one batch and delivers its replies. On error, every renewal in it gets that error.
pub(super) async fn send_and_reply(
    store: BoundedStore,
    batch: Vec<QueuedRenewal>,
    retry_at: Moment,
) {
    // Each renewal waits for as long as a reply is useful, and the call lasts as long as any of
    // them waits: a retry is sent in parallel and does not end the call. A batch that is sent late
    // has less time.
    let until = batch.iter().map(|renewal| renewal.window.useful_until).max().unwrap_or_default();
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
