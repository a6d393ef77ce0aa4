//! The unanswered requests on one keep-alive stream.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::keep_alive_request::{KeepAliveReply, KeepAliveRequest};
use crate::{Clock, Moment, SystemClock};

/// The callers that wait for a reply, by etcd lease. All callers for a lease share one request.
pub(super) struct PendingKeepAlives {
    requests: HashMap<i64, PendingKeepAlive>,
    /// The leases whose requests are still to be sent, in order.
    unsent: VecDeque<i64>,
    silent_since: Instant,
}

struct PendingKeepAlive {
    /// This is a time of the clock by which leases are trusted.
    sent_at: Moment,
    answers: Vec<oneshot::Sender<KeepAliveReply>>,
}

impl Default for PendingKeepAlives {
    fn default() -> Self {
        let silent_since = Instant::now();
        Self { requests: HashMap::new(), unsent: VecDeque::new(), silent_since }
    }
}

impl PendingKeepAlives {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Returns the time since which no reply came although a caller waited.
    pub(super) fn silent_since(&self) -> Instant {
        self.silent_since
    }

    /// Registers a caller for the answer to the request for that lease, or to an earlier request if
    /// one is unanswered.
    pub(super) fn add(&mut self, KeepAliveRequest { lease, answer }: KeepAliveRequest) {
        if self.requests.is_empty() {
            self.silent_since = Instant::now();
        }
        let request = self.requests.entry(lease).or_insert_with(|| {
            self.unsent.push_back(lease);
            PendingKeepAlive { sent_at: SystemClock.now(), answers: Vec::new() }
        });
        request.answers.push(answer);
    }

    /// Returns the next lease to keep alive. Leases for which no caller still waits are skipped.
    pub(super) fn next_unsent(&mut self) -> Option<i64> {
        while let Some(lease) = self.unsent.front().copied() {
            let request = self.requests.get(&lease);
            if request.is_some_and(|it| it.answers.iter().any(|answer| !answer.is_closed())) {
                return Some(lease);
            }
            self.requests.remove(&lease);
            self.unsent.pop_front();
        }
        None
    }

    /// Notes that the next request was sent.
    pub(super) fn sent(&mut self) {
        self.unsent.pop_front();
    }

    /// Notes the answer to the request for that lease, and returns how long it took.
    pub(super) fn answer(&mut self, lease: i64, is_extended: bool) -> Option<Duration> {
        self.silent_since = Instant::now();
        let PendingKeepAlive { sent_at, answers } = self.requests.remove(&lease)?;
        for answer in answers {
            let reply = if is_extended {
                KeepAliveReply::Extended { sent_at }
            } else {
                KeepAliveReply::LeaseExpired
            };
            // A caller that gave up needs no answer.
            _ = answer.send(reply);
        }
        Some(SystemClock.now().saturating_since(sent_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(lease: i64) -> (KeepAliveRequest, oneshot::Receiver<KeepAliveReply>) {
        let (answer, answered) = oneshot::channel();
        (KeepAliveRequest { lease, answer }, answered)
    }

    fn sent_at(mut answered: oneshot::Receiver<KeepAliveReply>) -> Moment {
        match answered.try_recv() {
            Ok(KeepAliveReply::Extended { sent_at }) => sent_at,
            _ => panic!("it was not extended"),
        }
    }

    #[tokio::test]
    async fn concurrent_keep_alives_of_a_lease_share_one_request() {
        let mut pending = PendingKeepAlives::default();
        let (first, first_answered) = ask(1);
        pending.add(first);
        assert_eq!(pending.next_unsent(), Some(1));
        pending.sent();
        let between = SystemClock.now();
        let (second, second_answered) = ask(1);
        pending.add(second);
        assert_eq!(pending.next_unsent(), None, "it is requested twice");
        pending.answer(1, true);
        // The lease was extended after the first request, perhaps before the second.
        let first = sent_at(first_answered);
        assert!(first <= between);
        assert_eq!(sent_at(second_answered), first);
        assert!(pending.is_empty());
        let (third, _answered) = ask(1);
        pending.add(third);
        assert_eq!(pending.next_unsent(), Some(1), "an answered lease is not requested again");
    }

    #[tokio::test]
    async fn a_request_without_a_caller_is_not_sent() {
        let mut pending = PendingKeepAlives::default();
        let (first, given_up) = ask(1);
        let (second, answered) = ask(2);
        pending.add(first);
        pending.add(second);
        drop(given_up);
        assert_eq!(pending.next_unsent(), Some(2));
        pending.sent();
        pending.answer(2, true);
        sent_at(answered);
        assert!(pending.is_empty());
    }

    #[tokio::test]
    async fn a_reply_without_a_caller_is_dropped() {
        let mut pending = PendingKeepAlives::default();
        let (one, answered) = ask(1);
        pending.add(one);
        assert_eq!(pending.answer(2, true), None);
        assert!(!pending.is_empty());
        pending.answer(1, false);
        assert!(matches!(answered.await, Ok(KeepAliveReply::LeaseExpired)));
    }
}
