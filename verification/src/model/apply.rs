//! This module defines the effect of a step on a state.

use leasehold_core::Moment;
use leasehold_core::election::machine::Event;
use leasehold_core::lease::machine::Event as LeaseEvent;

use super::lease_model::LeaseModel;
use super::network::{hint, leave, send_renewal};
use super::participant::{JobState, Participant};
use super::state::{Message, MessageStage, ModelState, Rule};
use super::step::{Cost, ModelStep};
use super::store::{ModelCall, Reply};
use super::units::{TTL, UNIT};

impl LeaseModel {
    /// Returns the state after a step.
    pub(super) fn apply(&self, mut state: ModelState, step: ModelStep) -> ModelState {
        if let Some(cost) = step.cost(&state) {
            state.leaderless = 0;
            match cost {
                Cost::Fault => {
                    state.left.faults -= 1;
                    state.had_faults |= !matches!(step, ModelStep::Crash(_));
                }
                Cost::Command => state.left.commands -= 1,
            }
        }
        match step {
            ModelStep::Pass => self.pass(&mut state, None),
            ModelStep::Slip(slow) => self.pass(&mut state, Some(slow)),
            ModelStep::Tick(at) => self.handle_event(&mut state, at, Event::TICK),
            ModelStep::SendRenewal(at) => send_renewal(&mut state, at),
            ModelStep::DeliverHint(at) => {
                state.with(at, |it| it.hinted = false);
                self.handle_event(&mut state, at, Event::Lease(LeaseEvent::Hint));
            }
            ModelStep::MissHint(at) => state.with(at, |it| it.hinted = false),
            ModelStep::Release(at) | ModelStep::GiveUp(at) => self.wait_again(&mut state, at),
            ModelStep::EndJob(at)
                if state.instances[at].as_ref().is_some_and(Participant::has_guard) =>
            {
                self.wait_again(&mut state, at);
            }
            ModelStep::EndJob(at) => {
                state.with(at, |it| it.job = JobState::None);
                self.handle_event(&mut state, at, Event::JobEnded);
            }
            ModelStep::FailStart(at) => {
                self.handle_event(&mut state, at, Event::StartFailed(String::new()));
            }
            ModelStep::Resign(at) => self.handle_event(&mut state, at, Event::Resign),
            ModelStep::ShutDown(at) => self.handle_event(&mut state, at, Event::ShutDown),
            ModelStep::Serve(at) => self.serve(&mut state, at),
            ModelStep::Deliver(at) => {
                let message = state.network.remove(at);
                if let (Some(to), MessageStage::Reply(reply)) = (message.waiting, message.stage) {
                    let event = self.event(&state, &message, Some(reply));
                    self.handle_event(&mut state, to, event);
                }
            }
            ModelStep::Fail(at) => {
                let message = state.network.remove(at);
                self.fail(&mut state, &message);
            }
            ModelStep::TimeOut(at) => {
                let message = state.network.remove(at);
                if message.stage == MessageStage::Request {
                    // The request may still reach the store.
                    state.network.push(Message { waiting: None, ..message.clone() });
                }
                self.fail(&mut state, &message);
            }
            ModelStep::Lose(at) => state.network[at].stage = MessageStage::Lost,
            ModelStep::ForgetMessage(at) => {
                state.network.remove(at);
            }
            ModelStep::Delay(at) => state.network[at].late = true,
            ModelStep::Pause(at) => state.with(at, |it| {
                it.paused = true;
                it.paused_in_term = true;
            }),
            ModelStep::Resume(at) => state.with(at, |it| it.paused = false),
            ModelStep::Crash(at) => leave(&mut state, at),
            ModelStep::Boot(at) => state.instances[at] = Some(self.participant(at)),
            ModelStep::Disable => {
                state.store.disable();
                hint(&mut state);
            }
            ModelStep::Enable => {
                state.store.disabled = false;
                hint(&mut state);
            }
        }
        state.canonicalize();
        state
    }

    fn pass(&self, state: &mut ModelState, slow: Option<usize>) {
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
        state.leaderless =
            if faults_ended && state.lacks_a_leader() { state.leaderless + 1 } else { 0 };
    }

    fn serve(&self, state: &mut ModelState, at: usize) {
        let message = state.network[at].clone();
        let (reply, changed) = state.store.answer(message.call, message.lease, self.mutation);
        if matches!(reply, Reply::Held { by_itself: true, .. }) {
            state.broken = Some(Rule::NoSelfBlocking);
        }
        if message.call == ModelCall::Release {
            state.forget_lease(message.lease);
        }
        if message.waiting.is_some() {
            state.network[at].stage = MessageStage::Reply(reply);
        } else {
            state.network.remove(at);
        }
        if changed {
            hint(state);
        }
    }

    fn fail(&self, state: &mut ModelState, message: &Message) {
        if let Some(to) = message.waiting {
            if message.call == ModelCall::Release {
                // The instance can no longer release it.
                state.forget_lease(message.lease);
            }
            let event = self.event(state, message, None);
            self.handle_event(state, to, event);
        }
    }
}
