//! One heartbeat for all leases of a client: due renewals go out together, in batches.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Beat, Calls};
use crate::{Error, ErrorKind, Moment, RenewOptions, RenewOutcome, Result};

/// Collects renewals and sends them together.
///
/// Each renewal says from when and until when it may go out. When the first one is due, all go
/// that may: new leases join the next beat, and those that were renewed together stay together, so
/// ten thousand leases cost as many calls per interval as they fill batches. The task runs while
/// there is a client, in the runtime of the first renewal.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    calls: Calls,
    /// One per runtime: a task in another may not be driven.
    queues: Mutex<HashMap<runtime::Id, mpsc::UnboundedSender<Renewal>>>,
}

#[derive(Debug)]
struct Renewal {
    options: RenewOptions,
    beat: Beat,
    answer: oneshot::Sender<Answer<RenewOutcome>>,
}

impl Heartbeat {
    pub(crate) fn new(calls: Calls) -> Self {
        Self { calls, queues: Mutex::default() }
    }

    /// Renews one lease with the next batch that fits.
    ///
    /// # Cancel safety
    /// Dropping the future takes the renewal back, or ignores its answer when it has gone out.
    pub(crate) async fn renew(&self, options: RenewOptions, beat: Beat) -> Answer<RenewOutcome> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Renewal { options, beat, answer });
        // The sender goes without a word only when the runtime shuts down or the store panics.
        answered.await.unwrap_or_else(|_| Answer {
            sent: beat.due,
            outcome: Err(Error::new(ErrorKind::OutcomeUnknown, "the heartbeat was cut off")
                .during("renew")
                .on_store(self.calls.store().label())),
        })
    }

    fn enqueue(&self, renewal: Renewal) {
        let here = runtime::Handle::current().id();
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let renewal = match queues.get(&here) {
            // Fails when the runtime that the task ran in is gone.
            Some(open) => match open.send(renewal) {
                Ok(()) => return,
                Err(mpsc::error::SendError(renewal)) => renewal,
            },
            None => renewal,
        };
        let (open, renewals) = mpsc::unbounded_channel();
        tokio::spawn(beat(self.calls.clone(), renewals));
        // The task has just begun and holds the other end.
        let _ = open.send(renewal);
        queues.retain(|_, queue| !queue.is_closed());
        queues.insert(here, open);
    }
}

/// Runs until the client is gone.
async fn beat(calls: Calls, mut renewals: mpsc::UnboundedReceiver<Renewal>) {
    let mut waiting = Waiting::default();
    let mut under_way: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    loop {
        let first_due = waiting.first_due();
        let clock = calls.clock().clone();
        tokio::select! {
            biased;
            renewal = renewals.recv() => match renewal {
                Some(renewal) => waiting.add(renewal),
                None => return,
            },
            Some(()) = under_way.next() => {}
            () = async { clock.sleep_until(first_due.unwrap_or_default()).await },
                if first_due.is_some() =>
            {
                for batch in waiting.take_ready(clock.now(), calls.store().capabilities().renew_batch) {
                    under_way.push(Box::pin(send(calls.clone(), batch)));
                }
            }
        }
    }
}

/// Renewals that have not gone out, by when they are due.
#[derive(Debug, Default)]
struct Waiting {
    by_due: BTreeMap<(Moment, u64), Renewal>,
    added: u64,
}

impl Waiting {
    fn add(&mut self, renewal: Renewal) {
        self.added += 1;
        self.by_due.insert((renewal.beat.due, self.added), renewal);
    }

    fn first_due(&self) -> Option<Moment> {
        self.by_due.keys().next().map(|(due, _)| *due)
    }

    /// Takes everything that may go out now, in batches of at most `most`.
    fn take_ready(&mut self, now: Moment, most: usize) -> Vec<Vec<Renewal>> {
        self.by_due.retain(|_, renewal| !renewal.answer.is_closed());
        let may_go = self.by_due.extract_if(.., |_, renewal| renewal.beat.from <= now);
        let mut ready: Vec<_> = may_go.map(|(_, renewal)| renewal).collect();
        let mut batches = Vec::new();
        while !ready.is_empty() {
            let rest = ready.split_off(ready.len().min(most.max(1)));
            batches.push(std::mem::replace(&mut ready, rest));
        }
        batches
    }
}

/// Sends one batch and hands out its answers. An error is everybody's.
async fn send(calls: Calls, batch: Vec<Renewal>) {
    let now = calls.clock().now();
    // Each waits for as long as it can use an answer; the call lasts as long as the most patient.
    let until = batch.iter().map(|renewal| renewal.beat.until).max().unwrap_or(now);
    let (leases, answers): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|renewal| (renewal.options, renewal.answer)).unzip();
    let Answer { sent, outcome } = calls.renew(&leases, until.saturating_since(now)).await;
    calls.meters().renewed(leases.len(), &outcome);
    match outcome {
        Ok(outcomes) => {
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                drop(answer.send(Answer { sent, outcome: known(outcome) }));
            }
        }
        Err(error) => {
            for answer in answers {
                drop(answer.send(Answer { sent, outcome: Err(error.clone()) }));
            }
        }
    }
}

/// An outcome that the store could not tell is a failed heartbeat of that lease alone.
fn known(outcome: RenewOutcome) -> Result<RenewOutcome> {
    match outcome {
        RenewOutcome::Unknown { why } => {
            Err(Error::new(ErrorKind::OutcomeUnknown, why).during("renew"))
        }
        outcome => Ok(outcome),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{LeaseId, LockName};

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    fn renewal(from: u64, due: u64) -> (Renewal, oneshot::Receiver<Answer<RenewOutcome>>) {
        let (answer, answered) = oneshot::channel();
        let options = RenewOptions {
            name: LockName::new("a").unwrap(),
            lease: LeaseId::new(),
            ttl: Duration::from_secs(1),
        };
        let beat = Beat { from: at(from), due: at(due), until: at(due + 10) };
        (Renewal { options, beat, answer }, answered)
    }

    #[test]
    fn what_may_go_goes_with_what_is_due() {
        let mut waiting = Waiting::default();
        let (first, _keep_first) = renewal(75, 100);
        let (second, _keep_second) = renewal(95, 120);
        let (third, _keep_third) = renewal(105, 130);
        for renewal in [third, second, first] {
            waiting.add(renewal);
        }
        assert_eq!(waiting.first_due(), Some(at(100)));
        let batches = waiting.take_ready(at(100), 500);
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].len(), 2);
        assert_eq!(waiting.first_due(), Some(at(130)));
    }

    #[test]
    fn batches_are_no_larger_than_the_store_takes() {
        let mut waiting = Waiting::default();
        let mut keep = Vec::new();
        for _ in 0..25 {
            let (renewal, answered) = renewal(0, 0);
            keep.push(answered);
            waiting.add(renewal);
        }
        let sizes: Vec<_> = waiting.take_ready(at(0), 10).iter().map(Vec::len).collect();
        assert_eq!(sizes, [10, 10, 5]);
    }

    #[test]
    fn a_renewal_that_nobody_waits_for_does_not_go_out() {
        let mut waiting = Waiting::default();
        let (renewal, answered) = renewal(0, 0);
        waiting.add(renewal);
        drop(answered);
        assert!(waiting.take_ready(at(0), 10).is_empty());
    }
}
