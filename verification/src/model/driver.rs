//! What an instance's driver does around the machine.

use leasehold_core::Moment;
use leasehold_core::election::machine::{Action, AskReply, Attempt, Event, RenewReply, Standing};

use super::network::{asked, ignore, ignore_second_oldest_renewal, renewed, send};
use super::store::{Call, Reply};
use super::world::{Instance, Job, LeaseId, Message, Rule, World};
use super::{Election, Flaw, NOW};

impl Election {
    /// Returns the driver's event for a reply, or for a missing reply, when its message has left
    /// the network.
    pub(super) fn event(&self, world: &World, message: &Message, reply: Option<Reply>) -> Event {
        let sent = if self.flaw == Some(Flaw::TrustFromReply) { NOW } else { message.sent };
        match message.call {
            Call::Acquire => Event::Asked { sent, reply: asked(reply) },
            Call::Renew => {
                let under_way = message.waiting.is_some_and(|at| renewals(world, at) > 0);
                Event::Renewed { sent, reply: renewed(reply), under_way }
            }
            Call::Release => Event::Released(reply.is_some()),
        }
    }

    /// Tells the machine, and does what it wants done.
    pub(super) fn tell(&self, world: &mut World, at: usize, event: Event) {
        if let Event::Renewed { reply: RenewReply::Lost, .. } = &event {
            // The attempt has had its term; what arrives of it after a whole ttl is bad luck.
            let lease = world.instances[at].as_ref().and_then(|it| it.lease);
            lease.into_iter().for_each(|lease| world.give_up(lease));
        }
        let Some(it) = &mut world.instances[at] else { return };
        let granted = match &event {
            Event::Asked { reply: AskReply::Granted(grant), .. } => Some(grant.token.get() as u8),
            Event::Asked { reply: AskReply::Held { .. } | AskReply::Disabled, .. } => {
                if !it.retried || self.flaw == Some(Flaw::NewIdAfterRefusal) {
                    it.lease = None;
                }
                None
            }
            _ => None,
        };
        for action in it.machine.handle(event, NOW) {
            self.perform(world, at, action, granted);
        }
        let ended = |it: &Instance| it.machine.standing() == Standing::Ended;
        if world.instances[at].as_ref().is_some_and(ended) {
            let lease = world.instances[at].as_ref().and_then(|it| it.lease);
            if let Some(lease) = lease.filter(|lease| lease.owner.is_some()) {
                drop_claim(world, at, lease);
            }
            world.leave(at);
        }
    }

    fn perform(&self, world: &mut World, at: usize, action: Action, granted: Option<u8>) {
        match action {
            Action::Ask(attempt) => {
                let new = attempt == Attempt::New || self.flaw == Some(Flaw::NewIdForRetry);
                let last = world.instances[at].as_ref().and_then(|it| it.lease);
                let lease = match last {
                    Some(last) if !new => last,
                    _ => {
                        let kept = last.filter(|last| last.owner.is_some());
                        if let (Some(last), Attempt::New) = (kept, attempt) {
                            drop_claim(world, at, last);
                        }
                        LeaseId { owner: Some(at), number: world.unused(Some(at)) }
                    }
                };
                world.with(at, |it| {
                    (it.aborted, it.expires) = (false, false);
                    it.retried = attempt == Attempt::Same;
                    it.lease = Some(lease);
                });
                send(world, Some(at), Call::Acquire, lease, NOW + self.timing.call_limit());
            }
            Action::Renew(beat) => {
                // It replaces a renewal that was not sent yet, or the second oldest one if too many
                // are under way.
                let most = (self.timing.heartbeat_retries as usize + 1).max(3);
                if renewals(world, at) >= most {
                    ignore_second_oldest_renewal(world, at);
                }
                world.with(at, |it| it.beat = Some(beat));
            }
            Action::Release(limit) => {
                give_back(world, at);
                if let Some(lease) = world.instances[at].as_ref().and_then(|it| it.lease) {
                    send(world, Some(at), Call::Release, lease, NOW + limit);
                }
            }
            Action::Start { deadline, .. } => {
                let token = granted.unwrap_or_default();
                if token <= world.started {
                    world.broken = Some(Rule::TokensGrow);
                }
                world.started = world.started.max(token);
                let mut idle = false;
                world.with(at, |it| {
                    idle = it.job == Job::None;
                    it.job = Job::Started;
                    it.trust = deadline;
                    it.paused_in_term = false;
                });
                if !idle {
                    world.broken = Some(Rule::StartStop);
                }
            }
            Action::Trust(deadline) => {
                let mut trusted = false;
                world.with(at, |it| {
                    trusted = it.trusts();
                    it.trust = deadline;
                });
                if !trusted {
                    world.broken = Some(Rule::TrustReturns);
                }
            }
            Action::Distrust => world.with(at, |it| it.trust = Moment::ORIGIN),
            Action::Stop(_) => {
                let mut started = false;
                world.with(at, |it| {
                    started = it.job == Job::Started;
                    it.job = Job::Stopping;
                    it.beat = None;
                });
                if !started {
                    world.broken = Some(Rule::StartStop);
                }
                ignore(world, at, Some(Call::Renew));
                let lease = world.instances[at].as_ref().and_then(|it| it.lease);
                if let (Some(lease), Some(Flaw::ReleaseBeforeStop)) = (lease, self.flaw) {
                    send(world, None, Call::Release, lease, NOW);
                }
            }
            Action::AbortStart => world.with(at, |it| it.aborted = true),
            Action::AbortAll => world.with(at, |it| {
                it.job = Job::Aborted;
                it.aborted = true;
            }),
            Action::LetExpire => {
                let expires = self.flaw != Some(Flaw::ReleaseAfterAbort);
                world.with(at, |it| it.expires = expires);
            }
        }
    }
}

/// Counts the renewals of an instance that are under way.
fn renewals(world: &World, at: usize) -> usize {
    let its = |message: &&Message| message.waiting == Some(at) && message.call == Call::Renew;
    world.network.iter().filter(its).count()
}

/// Does what the driver's claim does when it is dropped: releases its lease, unless that must run
/// out.
fn drop_claim(world: &mut World, at: usize, lease: LeaseId) {
    if world.instances[at].as_ref().is_some_and(|it| it.expires) {
        return world.give_up(lease);
    }
    give_back(world, at);
    send(world, None, Call::Release, lease, NOW);
}

/// An instance releases its lease. It must not do so after its job was aborted, since that may go
/// on.
fn give_back(world: &mut World, at: usize) {
    if world.instances[at].as_ref().is_some_and(|it| it.aborted && it.lease.is_some()) {
        world.broken = Some(Rule::ReleasedAfterAbort);
    }
}
