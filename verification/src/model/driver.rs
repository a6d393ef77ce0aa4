//! This module defines the part of an instance's driver that surrounds the machine.

use leasehold_core::Moment;
use leasehold_core::election::machine::{Action, Event};
use leasehold_core::lease::machine::{
    AcquireReply, AttemptKind, Event as LeaseEvent, RenewReply, Request,
};

use super::lease_model::LeaseModel;
use super::mutation::Mutation;
use super::network::{
    acquire_reply, ignore, ignore_second_oldest_renewal, leave, renew_reply, send,
};
use super::participant::{JobState, Participant};
use super::state::{Message, ModelState, Rule};
use super::store::{LeaseId, ModelCall, Reply};
use super::units::NOW;

impl LeaseModel {
    /// Returns the driver's event for a reply, or for a missing reply, when its message has left
    /// the network.
    pub(super) fn event(
        &self,
        state: &ModelState,
        message: &Message,
        reply: Option<Reply>,
    ) -> Event {
        let sent = if self.mutation == Some(Mutation::TrustFromReply) { NOW } else { message.sent };
        Event::Lease(match message.call {
            ModelCall::Acquire => LeaseEvent::AcquireReplied { sent, reply: acquire_reply(reply) },
            ModelCall::Renew => {
                let in_flight = message.waiting.is_some_and(|at| renewals(state, at) > 0);
                LeaseEvent::RenewReplied { sent, reply: renew_reply(reply), in_flight }
            }
            ModelCall::Release => LeaseEvent::ReleaseReplied { confirmed: reply.is_some() },
        })
    }

    /// Passes the event to the machine, and carries out its actions.
    pub(super) fn handle_event(&self, state: &mut ModelState, at: usize, event: Event) {
        if let Event::Lease(LeaseEvent::RenewReplied { reply: RenewReply::Lost, .. }) = &event {
            // The attempt has become a term, which has ended. A request of it that arrives after a
            // whole ttl does not count.
            let lease = state.instances[at].as_ref().and_then(|it| it.lease);
            lease.into_iter().for_each(|lease| state.forget_lease(lease));
        }
        let Some(it) = &mut state.instances[at] else { return };
        let granted = match &event {
            Event::Lease(LeaseEvent::AcquireReplied { reply, .. }) => match reply {
                AcquireReply::Granted(grant) => Some(grant.token.get() as u8),
                AcquireReply::Held { .. } | AcquireReply::Disabled => {
                    if !it.retried || self.mutation == Some(Mutation::NewIdAfterRefusal) {
                        it.lease = None;
                    }
                    None
                }
                // The model's locks have no queue.
                AcquireReply::Queued { .. } | AcquireReply::Failed => None,
            },
            _ => None,
        };
        for action in it.machine.handle(event) {
            self.perform(state, at, action, granted);
        }
        if state.instances[at].as_ref().is_some_and(|it| it.machine.has_ended()) {
            drop_latest_attempt(state, at);
            leave(state, at);
        }
    }

    /// Makes the caller of a lock drop its guard or give up waiting, and then wait for the lock
    /// again.
    pub(super) fn wait_again(&self, state: &mut ModelState, at: usize) {
        drop_latest_attempt(state, at);
        let until_next_slip = state.instances[at].as_ref().map_or(0, |it| it.until_next_slip);
        leave(state, at);
        state.instances[at] = Some(Participant { until_next_slip, ..self.participant(at) });
    }

    fn perform(&self, state: &mut ModelState, at: usize, action: Action, granted: Option<u8>) {
        match action {
            Action::Send(Request::Acquire(id)) => {
                let new = id == AttemptKind::New || self.mutation == Some(Mutation::NewIdForRetry);
                let last = state.instances[at].as_ref().and_then(|it| it.lease);
                let lease = match last {
                    Some(last) if !new => last,
                    _ => {
                        let kept = last.filter(|last| last.owner.is_some());
                        if let (Some(last), AttemptKind::New) = (kept, id) {
                            drop_attempt(state, at, last);
                        }
                        LeaseId { owner: Some(at), number: state.unused(Some(at)) }
                    }
                };
                state.with(at, |it| {
                    (it.aborted, it.expires) = (false, false);
                    it.retried = id == AttemptKind::Retry;
                    it.lease = Some(lease);
                });
                send(state, Some(at), ModelCall::Acquire, lease, NOW + self.timing.call_limit());
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
                begin_release(state, at);
                if let Some(lease) = state.instances[at].as_ref().and_then(|it| it.lease) {
                    send(state, Some(at), ModelCall::Release, lease, NOW + limit);
                }
            }
            Action::Start { deadline, .. } => {
                let token = granted.unwrap_or_default();
                if token <= state.started {
                    state.broken = Some(Rule::TokensGrow);
                }
                state.started = state.started.max(token);
                let mut idle = false;
                state.with(at, |it| {
                    idle = it.job == JobState::None;
                    it.job = JobState::Started;
                    it.trust = deadline;
                    it.paused_in_term = false;
                });
                if !idle {
                    state.broken = Some(Rule::StartStop);
                }
            }
            Action::ExtendTrust(deadline) => {
                let mut trusted = false;
                state.with(at, |it| {
                    trusted = it.trusts();
                    it.trust = deadline;
                });
                if !trusted {
                    state.broken = Some(Rule::TrustReturns);
                }
            }
            Action::EndTrust => state.with(at, |it| it.trust = Moment::ORIGIN),
            Action::Stop(_) => {
                let mut started = false;
                state.with(at, |it| {
                    started = it.job == JobState::Started;
                    it.job = JobState::Stopping;
                    it.window = None;
                });
                if !started {
                    state.broken = Some(Rule::StartStop);
                }
                ignore(state, at, Some(ModelCall::Renew));
                let lease = state.instances[at].as_ref().and_then(|it| it.lease);
                if let (Some(lease), Some(Mutation::ReleaseBeforeStop)) = (lease, self.mutation) {
                    send(state, None, ModelCall::Release, lease, NOW);
                }
            }
            Action::AbortStart => state.with(at, |it| it.aborted = true),
            Action::AbortJob => state.with(at, |it| {
                it.job = JobState::Aborted;
                it.aborted = true;
            }),
            Action::NeverRelease => {
                let expires = self.mutation != Some(Mutation::ReleaseAfterAbort);
                state.with(at, |it| it.expires = expires);
            }
        }
    }
}

/// Counts the renewals of an instance that are in progress.
fn renewals(state: &ModelState, at: usize) -> usize {
    let its = |message: &&Message| message.waiting == Some(at) && message.call == ModelCall::Renew;
    state.network.iter().filter(its).count()
}

fn drop_latest_attempt(state: &mut ModelState, at: usize) {
    let lease = state.instances[at].as_ref().and_then(|it| it.lease);
    if let Some(lease) = lease.filter(|lease| lease.owner.is_some()) {
        drop_attempt(state, at, lease);
    }
}

/// Drops an attempt as the driver does: it releases its lease, unless the lease must expire.
fn drop_attempt(state: &mut ModelState, at: usize, lease: LeaseId) {
    if state.instances[at].as_ref().is_some_and(|it| it.expires) {
        return state.forget_lease(lease);
    }
    begin_release(state, at);
    send(state, None, ModelCall::Release, lease, NOW);
}

/// Notes that an instance releases its lease. It must not do so after its job was aborted, because
/// the job's work may continue.
fn begin_release(state: &mut ModelState, at: usize) {
    if state.instances[at].as_ref().is_some_and(|it| it.aborted && it.lease.is_some()) {
        state.broken = Some(Rule::ReleasedAfterAbort);
    }
}
