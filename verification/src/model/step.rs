//! This module defines the steps that are possible in a state, and their cost.

use super::lease_model::LeaseModel;
use super::participant::JobState;
use super::state::{MessageStage, ModelState};
use super::units::NOW;

/// This is a step. Instances and messages are named by their position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelStep {
    /// A unit of time passes.
    Pass,
    /// A unit of time passes, but not on the clock of one instance.
    Slip(usize),
    /// A timer of an instance fires.
    Tick(usize),
    /// A renewal of an instance is sent.
    SendRenewal(usize),
    /// An instance receives a hint.
    DeliverHint(usize),
    /// A hint is lost.
    MissHint(usize),
    /// The job of an instance ends.
    EndJob(usize),
    /// The job of an instance fails to start.
    FailStart(usize),
    /// The store answers a request.
    Serve(usize),
    /// A reply arrives.
    Deliver(usize),
    /// A message is lost, and its sender is not told.
    Lose(usize),
    /// A call fails at once, before or after the store has answered it.
    Fail(usize),
    /// A message may take any time from now on.
    Delay(usize),
    /// An instance stops waiting for a reply.
    TimeOut(usize),
    /// A message without a waiter is lost.
    ForgetMessage(usize),
    /// An instance pauses.
    Pause(usize),
    /// An instance continues after a pause.
    Resume(usize),
    /// An instance crashes.
    Crash(usize),
    /// An instance boots and replaces one that has crashed or left.
    Boot(usize),
    /// An operator disables the name.
    Disable,
    /// An operator enables the name.
    Enable,
    /// An instance is asked to resign.
    Resign(usize),
    /// An instance is asked to leave.
    ShutDown(usize),
    /// The holder of a lock releases it, and waits for it again.
    Release(usize),
    /// A waiter for a lock gives up, and then waits again.
    GiveUp(usize),
}

impl LeaseModel {
    /// Returns all steps that are possible in a state.
    pub(super) fn possible(&self, state: &ModelState) -> Vec<ModelStep> {
        let mut steps = Vec::new();
        let (faults, commands) = (state.left.faults > 0, state.left.commands > 0);
        let mut may = |possible: bool, step| {
            if possible {
                steps.push(step);
            }
        };
        let idle = !state.is_busy();
        may(idle, ModelStep::Pass);
        for (at, instance) in state.instances.iter().enumerate() {
            let Some(it) = instance else {
                may(true, ModelStep::Boot(at));
                continue;
            };
            may(faults && idle && it.until_next_slip == 0, ModelStep::Slip(at));
            may(faults, ModelStep::Crash(at));
            if it.paused {
                may(true, ModelStep::Resume(at));
                continue;
            }
            may(faults, ModelStep::Pause(at));
            may(it.machine.next_tick().is_some_and(|wake| wake.at <= NOW), ModelStep::Tick(at));
            may(it.window.is_some_and(|window| window.earliest <= NOW), ModelStep::SendRenewal(at));
            may(it.hinted, ModelStep::DeliverHint(at));
            may(it.hinted && faults, ModelStep::MissHint(at));
            may(matches!(it.job, JobState::Stopping | JobState::Aborted), ModelStep::EndJob(at));
            if it.machine.has_job() {
                may(faults && it.job == JobState::Started, ModelStep::FailStart(at));
                may(commands && it.job == JobState::Started, ModelStep::Resign(at));
                may(commands, ModelStep::ShutDown(at));
            } else {
                may(commands && it.job == JobState::Started, ModelStep::Release(at));
                may(commands && !it.has_guard(), ModelStep::GiveUp(at));
            }
        }
        for (at, message) in state.network.iter().enumerate() {
            let receives = |at: usize| state.instances[at].as_ref().is_some_and(|it| !it.paused);
            let is_awaited = message.waiting.is_some_and(receives);
            let travels = message.stage != MessageStage::Lost;
            may(message.stage == MessageStage::Request, ModelStep::Serve(at));
            may(
                is_awaited && matches!(message.stage, MessageStage::Reply(_)),
                ModelStep::Deliver(at),
            );
            may(is_awaited && message.until <= NOW, ModelStep::TimeOut(at));
            may(faults && is_awaited && travels, ModelStep::Fail(at));
            if message.waiting.is_some() {
                may(faults && travels && !message.late, ModelStep::Lose(at));
            } else {
                may(message.late || faults, ModelStep::ForgetMessage(at));
            }
            may(faults && travels && !message.late, ModelStep::Delay(at));
        }
        may(commands && !state.store.disabled, ModelStep::Disable);
        may(commands && state.store.disabled, ModelStep::Enable);
        steps
    }
}

/// A step takes this from the budget.
pub(super) enum Cost {
    Fault,
    Command,
}

impl ModelStep {
    pub(super) fn cost(self, state: &ModelState) -> Option<Cost> {
        match self {
            Self::Slip(_)
            | Self::MissHint(_)
            | Self::FailStart(_)
            | Self::Lose(_)
            | Self::Fail(_)
            | Self::Delay(_)
            | Self::Pause(_)
            | Self::Crash(_) => Some(Cost::Fault),
            Self::ForgetMessage(at) if !state.network[at].late => Some(Cost::Fault),
            Self::Disable
            | Self::Enable
            | Self::Resign(_)
            | Self::ShutDown(_)
            | Self::Release(_)
            | Self::GiveUp(_) => Some(Cost::Command),
            _ => None,
        }
    }
}
