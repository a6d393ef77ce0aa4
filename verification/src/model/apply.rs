//! What a step makes of a state.

use leasehold_core::Moment;
use leasehold_core::election::machine::Event;
use leasehold_core::lease::machine::Event as LeaseEvent;

use super::lease_model::LeaseModel;
use super::network::{hint, leave, send_renewal};
use super::participant::JobState;
use super::state::{Message, MessageStage, ModelState, Rule};
use super::step::{Cost, Step};
use super::store::{Call, Reply};
use super::units::{TTL, UNIT};

impl LeaseModel {
    /// What a step makes of a state.
    pub(super) fn apply(&self, mut state: ModelState, step: Step) -> ModelState {
        if let Some(cost) = step.cost(&state) {
            state.leaderless = 0;
            match cost {
                Cost::Fault => {
                    state.left.faults -= 1;
                    state.had_faults |= !matches!(step, Step::Crash(_));
                }
                Cost::Command => state.left.commands -= 1,
            }
        }
        match step {
            Step::Pass => self.pass(&mut state, None),
            Step::Slip(slow) => self.pass(&mut state, Some(slow)),
            Step::Tick(at) => self.tell(&mut state, at, Event::TICK),
            Step::SendRenewal(at) => send_renewal(&mut state, at),
            Step::Hear(at) => {
                state.with(at, |it| it.hinted = false);
                self.tell(&mut state, at, Event::Lease(LeaseEvent::Hint));
            }
            Step::MissHint(at) => state.with(at, |it| it.hinted = false),
            Step::Release(at) | Step::GiveUp(at) => self.wait_again(&mut state, at),
            Step::EndJob(at) if state.instances[at].as_ref().is_some_and(|it| it.has_guard()) => {
                self.wait_again(&mut state, at);
            }
            Step::EndJob(at) => {
                state.with(at, |it| it.job = JobState::None);
                self.tell(&mut state, at, Event::JobEnded);
            }
            Step::FailStart(at) => self.tell(&mut state, at, Event::StartFailed(String::new())),
            Step::Resign(at) => self.tell(&mut state, at, Event::Resign),
            Step::ShutDown(at) => self.tell(&mut state, at, Event::ShutDown),
            Step::Serve(at) => self.serve(&mut state, at),
            Step::Deliver(at) => {
                let message = state.network.remove(at);
                if let (Some(to), MessageStage::Reply(reply)) = (message.waiting, message.stage) {
                    let event = self.event(&state, &message, Some(reply));
                    self.tell(&mut state, to, event);
                }
            }
            Step::Fail(at) => {
                let message = state.network.remove(at);
                self.fail(&mut state, &message);
            }
            Step::TimeOut(at) => {
                let message = state.network.remove(at);
                if message.stage == MessageStage::Request {
                    // It may still reach the store.
                    state.network.push(Message { waiting: None, ..message.clone() });
                }
                self.fail(&mut state, &message);
            }
            Step::Lose(at) => state.network[at].stage = MessageStage::Lost,
            Step::Vanish(at) => {
                state.network.remove(at);
            }
            Step::Delay(at) => state.network[at].late = true,
            Step::Pause(at) => state.with(at, |it| {
                it.paused = true;
                it.paused_in_term = true;
            }),
            Step::Resume(at) => state.with(at, |it| it.paused = false),
            Step::Crash(at) => leave(&mut state, at),
            Step::Boot(at) => state.instances[at] = Some(self.participant(at)),
            Step::Disable => {
                state.store.disable();
                hint(&mut state);
            }
            Step::Enable => {
                state.store.disabled = false;
                hint(&mut state);
            }
        }
        state.canonicalize();
        state
    }

    fn pass(&self, state: &mut ModelState, slow: Option<usize>) {
        state.store.pass();
        for (at, instance) in state.instances.iter_mut().enumerate() {
            let Some(instance) = instance else { continue };
            if slow == Some(at) {
                // Within one ttl a clock slips by no more than the margin.
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
        // A message that is still late is a fault that has not ceased.
        let calm = !state.network.iter().any(|message| message.late);
        state.leaderless = if calm && state.lacks_a_leader() { state.leaderless + 1 } else { 0 };
    }

    fn serve(&self, state: &mut ModelState, at: usize) {
        let message = state.network[at].clone();
        let (reply, changed) = state.store.answer(message.call, message.lease, self.mutation);
        if matches!(reply, Reply::Held { by_itself: true, .. }) {
            state.broken = Some(Rule::NoSelfBlocking);
        }
        if message.call == Call::Release {
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
            if message.call == Call::Release {
                // It did what it can.
                state.forget_lease(message.lease);
            }
            let event = self.event(state, message, None);
            self.tell(state, to, event);
        }
    }
}
