//! This module defines the effect of a step on a state.

use leasehold_core::Moment;
use leasehold_core::lease::machine::Event;

use super::answer::Answer;
use super::network::{leave, send_hint, send_renewal};
use super::participant::Participant;
use super::protocol::QueueModel;
use super::state::{Message, MessageStage, QueueState};
use super::step::{Cost, QueueStep};
use super::store::Call;
use super::units::{TTL, UNIT};

impl QueueModel {
    /// Returns the state after a step.
    pub(super) fn apply(&self, mut state: QueueState, step: QueueStep) -> QueueState {
        state.broken = None;
        if let Some(cost) = step.cost(&state) {
            (state.vacant, state.unheard) = (0, 0);
            match cost {
                Cost::Fault => {
                    state.left.faults -= 1;
                    state.had_faults |= !matches!(step, QueueStep::Crash(_));
                }
                Cost::Command => state.left.commands -= 1,
            }
        }
        match step {
            QueueStep::Pass => self.pass(&mut state, None),
            QueueStep::Slip(slow) => self.pass(&mut state, Some(slow)),
            QueueStep::Tick(at) => self.handle_event(&mut state, at, Event::Tick),
            QueueStep::SendRenewal(at) => send_renewal(&mut state, at),
            QueueStep::DeliverHint(at) => {
                state.with(at, |it| it.hinted = false);
                self.handle_event(&mut state, at, Event::Hint);
            }
            QueueStep::Leave(at) => self.wait_again(&mut state, at),
            QueueStep::Serve(at) => self.serve(&mut state, at),
            QueueStep::Deliver(at) => {
                let message = state.network.remove(at);
                if let (Some(to), MessageStage::Reply(reply)) = (message.waiting, message.stage) {
                    let event = self.event(&state, &message, Some(reply));
                    self.handle_event(&mut state, to, event);
                }
            }
            QueueStep::Fail(at) => {
                let message = state.network.remove(at);
                self.fail(&mut state, &message);
            }
            QueueStep::TimeOut(at) => {
                let message = state.network.remove(at);
                if message.stage == MessageStage::Request {
                    // The request may still reach the store.
                    state.network.push(Message { waiting: None, ..message.clone() });
                }
                self.fail(&mut state, &message);
            }
            QueueStep::Lose(at) => state.network[at].stage = MessageStage::Lost,
            QueueStep::ForgetMessage(at) => {
                state.network.remove(at);
            }
            QueueStep::Delay(at) => state.network[at].late = true,
            QueueStep::Pause(at) => state.with(at, |it| it.paused = true),
            QueueStep::Resume(at) => state.with(at, |it| it.paused = false),
            QueueStep::Crash(at) => leave(&mut state, at),
            QueueStep::Boot(at) => state.instances[at] = Some(self.participant()),
        }
        state.canonicalize(self.keeps_expired());
        state
    }

    fn pass(&self, state: &mut QueueState, slow: Option<usize>) {
        state.store.advance();
        for (at, instance) in state.instances.iter_mut().enumerate() {
            let Some(instance) = instance else { continue };
            if slow == Some(at) {
                // Within one ttl a clock slips by at most the margin.
                instance.until_next_slip = TTL;
            } else {
                instance.pass(UNIT);
            }
        }
        for message in &mut state.network {
            if message.waiting.is_some() && message.waiting == slow {
                continue;
            }
            message.sent = message.sent.saturating_sub(UNIT);
            message.until = message.until.saturating_sub(UNIT);
            if message.waiting.is_none() {
                (message.sent, message.until) = (Moment::ORIGIN, Moment::ORIGIN);
            }
        }
        // A message that is still late is a fault that has not ended.
        let faults_ended = !state.network.iter().any(|message| message.late);
        let count = |counts: bool, so_far: u8| if counts { so_far.saturating_add(1) } else { 0 };
        state.vacant = count(faults_ended && state.is_vacant(), state.vacant);
        state.unheard = count(faults_ended && self.is_unheard(state), state.unheard);
    }

    /// Returns whether an entry holds the lock and its instance, which could know, does not.
    fn is_unheard(&self, state: &QueueState) -> bool {
        self.holders(&state.store).any(|entry| {
            let its = |(_, it): &(usize, &Participant)| it.lease == Some(entry.id);
            let instance = state.running().find(its);
            instance.is_some_and(|(_, it)| !it.paused && !it.trusts())
        })
    }

    fn serve(&self, state: &mut QueueState, at: usize) {
        let message = state.network[at].clone();
        let Answer { reply, hint, broken } =
            self.answer(&mut state.store, message.call, message.lease);
        state.broken = broken;
        if let Some(hint) = hint {
            send_hint(state, &hint);
        }
        if message.call == Call::Leave {
            state.forget_lease(message.lease);
        }
        if message.waiting.is_some() {
            state.network[at].stage = MessageStage::Reply(reply);
        } else {
            state.network.remove(at);
        }
    }

    fn fail(&self, state: &mut QueueState, message: &Message) {
        if let Some(to) = message.waiting {
            if message.call == Call::Leave {
                // The instance can no longer remove the entry.
                state.forget_lease(message.lease);
            }
            let event = self.event(state, message, None);
            self.handle_event(state, to, event);
        }
    }
}
