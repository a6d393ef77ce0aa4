//! What can happen, and what comes of it.

use leasehold_core::election::machine::{Action, AskReply, Attempt, Event, RenewReply, Standing};
use leasehold_core::{FencingToken, Grant, Moment, Reason};

use super::store::{Call, Reply};
use super::world::{Instance, Job, LeaseId, Message, Rule, Stage, World};
use super::{Election, Flaw, NOW, TTL, UNIT};

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

    /// What a step makes of a state.
    pub(super) fn take(&self, mut world: World, step: Step) -> World {
        if let Some(cost) = step.cost(&world) {
            world.leaderless = 0;
            match cost {
                Cost::Fault => world.left.faults -= 1,
                Cost::Command => world.left.commands -= 1,
            }
        }
        match step {
            Step::Pass => self.pass(&mut world, None),
            Step::Slip(slow) => self.pass(&mut world, Some(slow)),
            Step::Tick(at) => self.tell(&mut world, at, Event::Tick),
            Step::Beat(at) => send_beat(&mut world, at),
            Step::Hear(at) => {
                with(&mut world, at, |it| it.hinted = false);
                self.tell(&mut world, at, Event::Hint);
            }
            Step::MissHint(at) => with(&mut world, at, |it| it.hinted = false),
            Step::EndJob(at) => {
                with(&mut world, at, |it| it.job = Job::None);
                self.tell(&mut world, at, Event::JobEnded);
            }
            Step::FailStart(at) => self.tell(&mut world, at, Event::StartFailed(String::new())),
            Step::Resign(at) => self.tell(&mut world, at, Event::Resign),
            Step::ShutDown(at) => self.tell(&mut world, at, Event::ShutDown),
            Step::Serve(at) => self.serve(&mut world, at),
            Step::Deliver(at) => {
                let message = world.network.remove(at);
                if let (Some(to), Stage::Reply(reply)) = (message.waiting, message.stage) {
                    let event = self.event(&message, Some(reply));
                    self.tell(&mut world, to, event);
                }
            }
            Step::Fail(at) => {
                let message = world.network.remove(at);
                self.fail(&mut world, &message);
            }
            Step::TimeOut(at) => {
                let message = world.network.remove(at);
                if message.stage == Stage::Request {
                    // It may still reach the store.
                    world.network.push(Message { waiting: None, ..message.clone() });
                }
                self.fail(&mut world, &message);
            }
            Step::Lose(at) => world.network[at].stage = Stage::Lost,
            Step::Vanish(at) => {
                world.network.remove(at);
            }
            Step::Delay(at) => world.network[at].late = true,
            Step::Pause(at) => with(&mut world, at, |it| {
                it.paused = true;
                it.paused_in_term = true;
            }),
            Step::Resume(at) => with(&mut world, at, |it| it.paused = false),
            Step::Crash(at) => leave(&mut world, at),
            Step::Boot(at) => world.instances[at] = Some(Instance::new(&self.timing)),
            Step::Disable => {
                world.store.disable();
                hint(&mut world);
            }
            Step::Enable => {
                world.store.disabled = false;
                hint(&mut world);
            }
        }
        world.tidy();
        world
    }

    fn pass(&self, world: &mut World, slow: Option<usize>) {
        world.store.pass();
        for (at, instance) in world.instances.iter_mut().enumerate() {
            let Some(instance) = instance else { continue };
            if slow == Some(at) {
                // Within one ttl a clock slips by no more than the margin.
                instance.steady = TTL;
            } else {
                instance.pass(UNIT);
            }
        }
        for message in &mut world.network {
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
        let calm = !world.network.iter().any(|message| message.late);
        world.leaderless = if calm && world.lacks_a_leader() { world.leaderless + 1 } else { 0 };
    }

    fn serve(&self, world: &mut World, at: usize) {
        let message = world.network[at].clone();
        let (reply, changed) = world.store.answer(message.call, message.lease, self.flaw);
        if matches!(reply, Reply::Held { by_itself: true, .. }) {
            world.broken = Some(Rule::OwnWay);
        }
        if message.waiting.is_some() {
            world.network[at].stage = Stage::Reply(reply);
        } else {
            world.network.remove(at);
        }
        if changed {
            hint(world);
        }
    }

    fn fail(&self, world: &mut World, message: &Message) {
        if let Some(to) = message.waiting {
            let event = self.event(message, None);
            self.tell(world, to, event);
        }
    }

    /// What the driver makes of a reply, or of none.
    fn event(&self, message: &Message, reply: Option<Reply>) -> Event {
        let sent = if self.flaw == Some(Flaw::TrustFromReply) { NOW } else { message.sent };
        match message.call {
            Call::Acquire => Event::Asked { sent, reply: asked(reply) },
            Call::Renew => Event::Renewed { sent, reply: renewed(reply) },
            Call::Release => Event::Released(reply.is_some()),
        }
    }

    /// Tells the machine, and does what it wants done.
    fn tell(&self, world: &mut World, at: usize, event: Event) {
        let Some(it) = &mut world.instances[at] else { return };
        let granted = match &event {
            Event::Asked { reply: AskReply::Granted(grant), .. } => Some(grant.token.get() as u8),
            _ => None,
        };
        for action in it.machine.handle(event, NOW) {
            self.perform(world, at, action, granted);
        }
        let ended = |it: &Instance| it.machine.standing() == Standing::Ended;
        if world.instances[at].as_ref().is_some_and(ended) {
            let lease = world.instances[at].as_ref().and_then(|it| it.lease);
            if let Some(lease) = lease.filter(|lease| lease.owner.is_some()) {
                send(world, None, Call::Release, lease, NOW);
            }
            leave(world, at);
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
                        if let (Some(last), Attempt::New) = (last, attempt) {
                            // What the driver's claim does when it is dropped.
                            if last.owner.is_some() {
                                send(world, None, Call::Release, last, NOW);
                            }
                            world.give_up(last);
                        }
                        LeaseId { owner: Some(at), number: world.unused(Some(at)) }
                    }
                };
                with(world, at, |it| it.lease = Some(lease));
                send(world, Some(at), Call::Acquire, lease, NOW + self.timing.call_limit());
            }
            Action::Renew(beat) => {
                // It takes the place of the one under way.
                ignore(world, at, Some(Call::Renew));
                with(world, at, |it| it.beat = Some(beat));
            }
            Action::Release(limit) => {
                if let Some(lease) = world.instances[at].as_ref().and_then(|it| it.lease) {
                    send(world, Some(at), Call::Release, lease, NOW + limit);
                    world.give_up(lease);
                }
            }
            Action::Start { deadline, .. } => {
                let token = granted.unwrap_or_default();
                if token <= world.started {
                    world.broken = Some(Rule::TokensGrow);
                }
                world.started = world.started.max(token);
                let mut idle = false;
                with(world, at, |it| {
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
                with(world, at, |it| {
                    trusted = it.trusts();
                    it.trust = deadline;
                });
                if !trusted {
                    world.broken = Some(Rule::TrustReturns);
                }
            }
            Action::Distrust => with(world, at, |it| it.trust = Moment::ORIGIN),
            Action::Stop(_) => {
                let mut started = false;
                with(world, at, |it| {
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
            Action::AbortStart => {}
            Action::AbortAll => with(world, at, |it| it.job = Job::Aborted),
        }
    }
}

/// What a step takes from what may still happen.
enum Cost {
    Fault,
    Command,
}

impl Step {
    fn cost(self, world: &World) -> Option<Cost> {
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

fn with(world: &mut World, at: usize, act: impl FnOnce(&mut Instance)) {
    if let Some(instance) = &mut world.instances[at] {
        act(instance);
    }
}

fn send(world: &mut World, waiting: Option<usize>, call: Call, lease: LeaseId, until: Moment) {
    let (sent, until) = match waiting {
        Some(_) => (NOW, until),
        None => (Moment::ORIGIN, Moment::ORIGIN),
    };
    let stage = Stage::Request;
    world.network.push(Message { waiting, call, lease, sent, until, stage, late: false });
}

fn send_beat(world: &mut World, at: usize) {
    let Some(it) = &mut world.instances[at] else { return };
    if let (Some(beat), Some(lease)) = (it.beat.take(), it.lease) {
        send(world, Some(at), Call::Renew, lease, beat.until);
    }
}

fn hint(world: &mut World) {
    world.instances.iter_mut().flatten().for_each(|instance| instance.hinted = true);
}

/// An instance is gone; what it sent is still under way.
fn leave(world: &mut World, at: usize) {
    let lease = world.instances[at].as_ref().and_then(|it| it.lease);
    ignore(world, at, None);
    if let Some(lease) = lease {
        world.give_up(lease);
    }
    world.instances[at] = None;
}

/// An instance waits no longer for replies, to that kind of call if one is named. Replies that
/// nobody waits for are no more; such requests are alike whenever they were sent.
fn ignore(world: &mut World, at: usize, kind: Option<Call>) {
    for message in &mut world.network {
        if message.waiting == Some(at) && kind.is_none_or(|kind| message.call == kind) {
            message.waiting = None;
        }
    }
    world.network.retain(|message| message.waiting.is_some() || message.stage == Stage::Request);
    for message in world.network.iter_mut().filter(|message| message.waiting.is_none()) {
        (message.sent, message.until) = (Moment::ORIGIN, Moment::ORIGIN);
    }
}

fn asked(reply: Option<Reply>) -> AskReply {
    match reply {
        Some(Reply::Granted { token, left }) => match FencingToken::new(u64::from(token)) {
            Ok(token) => AskReply::Granted(Grant { token, left: UNIT * u32::from(left) }),
            Err(_) => AskReply::Failed,
        },
        Some(Reply::Held { left, .. }) => AskReply::Held { left: UNIT * u32::from(left) },
        Some(Reply::Disabled) => AskReply::Disabled,
        _ => AskReply::Failed,
    }
}

fn renewed(reply: Option<Reply>) -> RenewReply {
    match reply {
        Some(Reply::Extended) => RenewReply::Extended { left: UNIT * u32::from(TTL) },
        Some(Reply::Lost) => RenewReply::Lost,
        Some(Reply::Disabled) => match Reason::new("upkeep") {
            Ok(reason) => RenewReply::Disabled { reason },
            Err(_) => RenewReply::Failed,
        },
        _ => RenewReply::Failed,
    }
}
