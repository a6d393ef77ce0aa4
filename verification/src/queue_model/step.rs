//! This module defines the steps that are possible in a state, and their cost.

use super::protocol::QueueModel;
use super::state::{MessageStage, QueueState};
use super::units::NOW;

/// This is a step. Instances and messages are named by their position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueStep {
    /// A unit of time passes.
    Pass,
    /// A unit of time passes, but not on the clock of one instance.
    Slip(usize),
    /// A timer of an instance fires.
    Tick(usize),
    /// A renewal of an instance is sent.
    SendRenewal(usize),
    /// An instance receives a hint. It may never do so, or late.
    DeliverHint(usize),
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
    /// An instance boots and replaces one that has crashed.
    Boot(usize),
    /// A holder releases the lock or a waiter gives up, and then waits again.
    Leave(usize),
}

impl QueueModel {
    /// Returns all steps that are possible in a state.
    pub(super) fn possible(&self, state: &QueueState) -> Vec<QueueStep> {
        let mut steps = Vec::new();
        let (faults, commands) = (state.left.faults > 0, state.left.commands > 0);
        let mut may = |possible: bool, step| {
            if possible {
                steps.push(step);
            }
        };
        let idle = !state.is_busy();
        may(idle, QueueStep::Pass);
        for (at, instance) in state.instances.iter().enumerate() {
            let Some(it) = instance else {
                may(true, QueueStep::Boot(at));
                continue;
            };
            may(faults && idle && it.until_next_slip == 0, QueueStep::Slip(at));
            may(faults, QueueStep::Crash(at));
            if it.paused {
                may(true, QueueStep::Resume(at));
                continue;
            }
            may(faults, QueueStep::Pause(at));
            may(it.machine.next_tick().is_some_and(|wake| wake.at <= NOW), QueueStep::Tick(at));
            may(it.window.is_some_and(|window| window.earliest <= NOW), QueueStep::SendRenewal(at));
            may(it.hinted, QueueStep::DeliverHint(at));
            may(commands, QueueStep::Leave(at));
        }
        for (at, message) in state.network.iter().enumerate() {
            let receives = |at: usize| state.instances[at].as_ref().is_some_and(|it| !it.paused);
            let is_awaited = message.waiting.is_some_and(receives);
            let travels = message.stage != MessageStage::Lost;
            may(message.stage == MessageStage::Request, QueueStep::Serve(at));
            may(
                is_awaited && matches!(message.stage, MessageStage::Reply(_)),
                QueueStep::Deliver(at),
            );
            may(is_awaited && message.until <= NOW, QueueStep::TimeOut(at));
            may(faults && is_awaited && travels, QueueStep::Fail(at));
            if message.waiting.is_some() {
                may(faults && travels && !message.late, QueueStep::Lose(at));
            } else {
                may(message.late || faults, QueueStep::ForgetMessage(at));
            }
            may(faults && travels && !message.late, QueueStep::Delay(at));
        }
        steps
    }
}

/// A step takes this from the budget.
pub(super) enum Cost {
    Fault,
    Command,
}

impl QueueStep {
    pub(super) fn cost(self, state: &QueueState) -> Option<Cost> {
        match self {
            Self::Slip(_)
            | Self::Lose(_)
            | Self::Fail(_)
            | Self::Delay(_)
            | Self::Pause(_)
            | Self::Crash(_) => Some(Cost::Fault),
            Self::ForgetMessage(at) if !state.network[at].late => Some(Cost::Fault),
            Self::Leave(_) => Some(Cost::Command),
            _ => None,
        }
    }
}
