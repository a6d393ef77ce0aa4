//! The driver reports what replies show, in the status of the election and in the metrics.

use tracing::warn;

use super::Driver;
use crate::election::machine::Role;
use crate::engine::TimedReply;
use crate::lease::Reply;
use crate::{AcquireOutcome, Error, ErrorKind, RenewOutcome, Result};

impl Driver {
    /// Records in the status and the metrics what a reply shows.
    pub(super) fn record(&mut self, reply: &Reply) {
        match reply {
            Reply::Acquire { reply, .. } => {
                if self.requests.entry().is_some() {
                    self.hints.set_entry(self.requests.entry_lease());
                }
                self.record_acquire(reply);
            }
            Reply::Renew { reply, .. } => {
                if let (Ok(RenewOutcome::Extended { floor, .. }), Some(tasks)) =
                    (&reply.outcome, &self.tasks)
                {
                    if let Some(floor) = floor {
                        tasks.leadership.floor.raise(*floor);
                    }
                    self.engine.store.metrics().record_trust_left(tasks.leadership.remaining());
                }
                if let Ok(RenewOutcome::Queued { ahead, .. }) = &reply.outcome {
                    self.record_ahead(*ahead);
                }
                self.record_store_result(&reply.outcome);
            }
            Reply::Release(outcome) => self.record_store_result(outcome),
        }
    }

    /// Records in the status what an attempt showed about other instances.
    fn record_acquire(&mut self, reply: &TimedReply<AcquireOutcome>) {
        self.races.record(&reply.outcome, self.hint_spread.was_race());
        self.record_store_result(&reply.outcome);
        let (leader, disabled) = match &reply.outcome {
            Ok(AcquireOutcome::Held(held)) => (Some(held.holder.clone()), None),
            Ok(AcquireOutcome::Queued(queued)) => (Some(queued.held.holder.clone()), None),
            Ok(AcquireOutcome::Disabled(disabled)) => (None, Some(disabled.clone())),
            Ok(AcquireOutcome::Granted(_)) => (None, None),
            Err(_) => return,
        };
        self.metrics.saw_disabled(disabled.is_some());
        let here = self.engine.holder.instance;
        if leader.as_ref().is_some_and(|leader| leader.instance != here) {
            self.metrics.saw_other_leader();
        }
        let ahead = match &reply.outcome {
            Ok(AcquireOutcome::Queued(queued)) => Some(queued.ahead),
            _ => None,
        };
        self.status_sender.send_modify(|status| {
            status.leader = leader;
            status.ahead = ahead;
            status.disabled = disabled;
        });
    }

    /// Records in the status how many entries are ahead of the one that waits.
    fn record_ahead(&self, ahead: usize) {
        self.status_sender.send_if_modified(|status| {
            let changed = status.ahead != Some(ahead);
            status.ahead = Some(ahead);
            changed
        });
    }

    /// Records in the status whether the store responds; the log reports an outage once per client.
    /// A conflict is not an outage: the log reports it when the latest call had none.
    pub(super) fn record_store_result<T>(&mut self, outcome: &Result<T>) {
        fn is_conflict(error: &Error) -> bool {
            error.kind() == ErrorKind::Conflict
        }
        let error = outcome.as_ref().err().cloned();
        let before = self.status_sender.borrow().error.clone();
        if let Some(error) = error.as_ref().filter(|error| is_conflict(error))
            && !before.as_ref().is_some_and(is_conflict)
        {
            warn!(%error, "cannot campaign; trying again");
        }
        if before.is_some() || error.is_some() {
            self.status_sender.send_modify(|status| status.error = error);
        }
    }

    /// Returns the error for a heartbeat without a reply by the time of its retry.
    pub(super) fn no_reply(&self) -> Error {
        let Self { engine, name, timing, .. } = self;
        let waited = timing.retry_interval();
        Error::new(ErrorKind::OutcomeUnknown, format!("no reply within {waited:?}"))
            .during("renew")
            .for_lock(name)
            .on_store(engine.store.label())
    }

    pub(super) fn publish(&self) {
        let role = self.machine.role();
        self.status_sender.send_if_modified(|status| {
            let changed = status.role != role;
            status.role = role;
            if matches!(role, Role::Candidate | Role::Ended) && changed {
                status.token = None;
                status.leader = None;
                status.ahead = None;
            }
            changed
        });
    }
}
