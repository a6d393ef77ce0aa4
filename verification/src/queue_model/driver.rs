//! This module defines the part of an instance's driver that surrounds the machine.

use leasehold_core::lease::machine::{
    AcquireReply, Action, AttemptKind, Event, RenewReply, Request, Stage,
};
use leasehold_core::{FencingToken, Grant, Moment};

use super::mutation::Mutation;
use super::network::{ignore_second_oldest_renewal, leave, renewals, send, stop_renewing};
use super::participant::Participant;
use super::protocol::QueueModel;
use super::state::{Message, QueueRule, QueueState};
use super::store::{Call, Reply};
use super::units::{NOW, TTL, duration};
use crate::model::LeaseId;

impl QueueModel {
    /// Returns the driver's event for a reply, or for a missing reply, when its message has left
    /// the network.
    pub(super) fn event(
        &self,
        state: &QueueState,
        message: &Message,
        reply: Option<Reply>,
    ) -> Event {
        let sent = if self.has(Mutation::TrustFromReply) { NOW } else { message.sent };
        match message.call {
            Call::Enter(_) => Event::AcquireReplied { sent, reply: self.enter_reply(reply) },
            Call::Renew => {
                let in_flight = message.waiting.is_some_and(|at| renewals(state, at) > 0);
                let instance = message.waiting.and_then(|at| state.instances[at].as_ref());
                let waits = instance.is_some_and(|it| it.machine.stage() == Stage::Queued);
                Event::RenewReplied { sent, reply: self.renew_reply(reply, waits), in_flight }
            }
            Call::Leave => Event::ReleaseReplied { confirmed: reply.is_some() },
        }
    }

    /// Returns the machine's reply to an attempt. All entries have the same token there, so that
    /// states recur: the machine only hands it on.
    fn enter_reply(&self, reply: Option<Reply>) -> AcquireReply {
        let Ok(token) = FencingToken::new(1) else { return AcquireReply::Failed };
        match reply {
            Some(Reply::Holds { left }) => {
                let left = if self.has(Mutation::IgnoresTimeLeft) { TTL } else { left };
                AcquireReply::Granted(Grant::new(token, duration(left)))
            }
            Some(Reply::Waits { left, .. }) if self.has(Mutation::TrustsWaitingEntry) => {
                AcquireReply::Granted(Grant::new(token, duration(left)))
            }
            Some(Reply::Waits { left, recheck }) => {
                let (left, recheck) = (duration(left), duration(recheck));
                AcquireReply::Queued { token, left, recheck }
            }
            Some(Reply::Lost | Reply::Left | Reply::Failed) | None => AcquireReply::Failed,
        }
    }

    fn renew_reply(&self, reply: Option<Reply>, waits: bool) -> RenewReply {
        match reply {
            Some(Reply::Holds { left }) if waits && self.has(Mutation::NeedsHint) => {
                RenewReply::Queued { left: duration(left), recheck: duration(TTL) }
            }
            Some(Reply::Holds { left }) => RenewReply::Extended { left: duration(left) },
            Some(Reply::Waits { left, recheck }) => {
                RenewReply::Queued { left: duration(left), recheck: duration(recheck) }
            }
            Some(Reply::Lost) => RenewReply::Lost,
            Some(Reply::Left | Reply::Failed) | None => RenewReply::Failed,
        }
    }

    /// Passes the event to the machine, and carries out its actions.
    pub(super) fn handle_event(&self, state: &mut QueueState, at: usize, event: Event) {
        if let Event::RenewReplied { reply: RenewReply::Lost, .. } = &event {
            // A request of the attempt that arrives after a whole ttl does not count.
            let lease = state.instances[at].as_ref().and_then(|it| it.lease);
            lease.into_iter().for_each(|lease| state.forget_lease(lease));
        }
        let Some(it) = &mut state.instances[at] else { return };
        let actions = it.machine.handle(event, NOW);
        let is_lost = actions.iter().any(|action| matches!(action, Action::Lost { .. }));
        for action in actions {
            self.perform(state, at, action);
        }
        if is_lost {
            self.wait_again(state, at);
        }
    }

    /// Makes a caller drop its guard or give up waiting, and then wait for the lock again.
    pub(super) fn wait_again(&self, state: &mut QueueState, at: usize) {
        let lease = state.instances[at].as_ref().and_then(|it| it.lease);
        if let Some(lease) = lease.filter(|lease| lease.owner.is_some()) {
            send(state, None, Call::Leave, lease, NOW);
        }
        let until_next_slip = state.instances[at].as_ref().map_or(0, |it| it.until_next_slip);
        leave(state, at);
        state.instances[at] = Some(Participant { until_next_slip, ..self.participant() });
    }

    fn perform(&self, state: &mut QueueState, at: usize, action: Action) {
        match action {
            Action::Send(Request::Acquire(id)) => {
                stop_renewing(state, at);
                let lease = self.next_attempt(state, at, id);
                state.with(at, |it| it.lease = Some(lease));
                let until = NOW + self.timing.call_limit();
                send(state, Some(at), Call::Enter(self.weights[at]), lease, until);
            }
            Action::Send(Request::Renew(window)) => {
                // It replaces a renewal that was not sent yet, or the second oldest one if too many
                // are in progress.
                let most = (self.timing.heartbeat_retries as usize + 1).max(3);
                if renewals(state, at) >= most {
                    ignore_second_oldest_renewal(state, at);
                }
                state.with(at, |it| it.window = Some(window));
            }
            Action::Send(Request::Release(limit)) => {
                stop_renewing(state, at);
                if let Some(lease) = state.instances[at].as_ref().and_then(|it| it.lease) {
                    send(state, Some(at), Call::Leave, lease, NOW + limit);
                }
            }
            Action::Granted { deadline, .. } => {
                // The guard sends renewals of its own.
                stop_renewing(state, at);
                state.with(at, |it| it.trust = deadline);
            }
            Action::ExtendTrust(deadline) => {
                let mut trusted = false;
                state.with(at, |it| {
                    trusted = it.trusts();
                    it.trust = deadline;
                });
                if !trusted {
                    state.broken = Some(QueueRule::TrustReturns);
                }
            }
            Action::Lost { .. } => state.with(at, |it| it.trust = Moment::ORIGIN),
        }
    }

    /// Returns the lease id of an attempt. An earlier attempt that is not retried leaves the queue.
    fn next_attempt(&self, state: &mut QueueState, at: usize, id: AttemptKind) -> LeaseId {
        let last = state.instances[at].as_ref().and_then(|it| it.lease);
        let is_new = id == AttemptKind::New || self.has(Mutation::NewIdForRetry);
        if let Some(last) = last.filter(|_| !is_new) {
            return last;
        }
        let kept = last.filter(|last| last.owner.is_some());
        if let (Some(last), AttemptKind::New) = (kept, id) {
            send(state, None, Call::Leave, last, NOW);
        }
        LeaseId { owner: Some(at), number: state.unused(Some(at)) }
    }
}
