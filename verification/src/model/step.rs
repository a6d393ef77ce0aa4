//! What can happen in a state, and what it costs.

use super::world::{Job, Stage, World};
use super::{Election, NOW};

/// What can happen. Instances and messages are named by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A unit of time passes.
    Pass,
    /// A unit of time passes, and one instance's clock stands still.
    Slip(usize),
    /// An instance is woken as it wished.
    Tick(usize),
    /// An instance's renewal goes out.
    Beat(usize),
    /// An instance hears a hint.
    Hear(usize),
    /// A hint is lost.
    MissHint(usize),
    /// An instance's job has come to its end.
    EndJob(usize),
    /// An instance's job fails to start.
    FailStart(usize),
    /// The store answers a request.
    Serve(usize),
    /// A reply arrives.
    Deliver(usize),
    /// A message is lost without a word.
    Lose(usize),
    /// A call fails at once, before or after the store has answered.
    Fail(usize),
    /// A message takes any time from here.
    Delay(usize),
    /// An instance gives up waiting for a reply.
    TimeOut(usize),
    /// A message that nobody waits for is lost after all.
    Vanish(usize),
    /// An instance stands still.
    Pause(usize),
    /// It goes on.
    Resume(usize),
    /// An instance is gone.
    Crash(usize),
    /// One takes the place of one that is gone.
    Boot(usize),
    /// An operator disables the name.
    Disable,
    /// An operator enables it.
    Enable,
    /// An instance is told to resign.
    Resign(usize),
    /// An instance is told to leave.
    ShutDown(usize),
}

impl Election {
    /// Everything that can happen in a state.
    pub(super) fn possible(&self, world: &World) -> Vec<Step> {
        let mut steps = Vec::new();
        let (faults, commands) = (world.left.faults > 0, world.left.commands > 0);
        let mut may = |possible: bool, step| {
            if possible {
                steps.push(step);
            }
        };
        let calm = !world.is_busy();
        may(calm, Step::Pass);
        for (at, instance) in world.instances.iter().enumerate() {
            let Some(it) = instance else {
                may(true, Step::Boot(at));
                continue;
            };
            may(faults && calm && it.steady == 0, Step::Slip(at));
            may(faults, Step::Crash(at));
            if it.paused {
                may(true, Step::Resume(at));
                continue;
            }
            may(faults, Step::Pause(at));
            may(it.machine.wake().is_some_and(|wake| wake.at <= NOW), Step::Tick(at));
            may(it.beat.is_some_and(|beat| beat.from <= NOW), Step::Beat(at));
            may(it.hinted, Step::Hear(at));
            may(it.hinted && faults, Step::MissHint(at));
            may(matches!(it.job, Job::Stopping | Job::Aborted), Step::EndJob(at));
            may(faults && it.job == Job::Started, Step::FailStart(at));
            may(commands && it.job == Job::Started, Step::Resign(at));
            may(commands, Step::ShutDown(at));
        }
        for (at, message) in world.network.iter().enumerate() {
            let hears = |at: usize| world.instances[at].as_ref().is_some_and(|it| !it.paused);
            let heard = message.waiting.is_some_and(hears);
            let travels = message.stage != Stage::Lost;
            may(message.stage == Stage::Request, Step::Serve(at));
            may(heard && matches!(message.stage, Stage::Reply(_)), Step::Deliver(at));
            may(heard && message.until <= NOW, Step::TimeOut(at));
            may(faults && heard && travels, Step::Fail(at));
            if message.waiting.is_some() {
                may(faults && travels && !message.late, Step::Lose(at));
            } else {
                may(message.late || faults, Step::Vanish(at));
            }
            may(faults && travels && !message.late, Step::Delay(at));
        }
        may(commands && !world.store.disabled, Step::Disable);
        may(commands && world.store.disabled, Step::Enable);
        steps
    }
}

/// What a step takes from what may still happen.
pub(super) enum Cost {
    Fault,
    Command,
}

impl Step {
    pub(super) fn cost(self, world: &World) -> Option<Cost> {
        match self {
            Self::Slip(_)
            | Self::MissHint(_)
            | Self::FailStart(_)
            | Self::Lose(_)
            | Self::Fail(_)
            | Self::Delay(_)
            | Self::Pause(_)
            | Self::Crash(_) => Some(Cost::Fault),
            Self::Vanish(at) if !world.network[at].late => Some(Cost::Fault),
            Self::Disable | Self::Enable | Self::Resign(_) | Self::ShutDown(_) => {
                Some(Cost::Command)
            }
            _ => None,
        }
    }
}
