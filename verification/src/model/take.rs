//! What a step makes of a state.

use leasehold_core::Moment;
use leasehold_core::election::machine::Event;

use super::network::{hint, send_beat};
use super::step::Cost;
use super::store::{Call, Reply};
use super::world::{Instance, Job, Message, Rule, Stage, World};
use super::{Election, Step, TTL, UNIT};

impl Election {
    /// What a step makes of a state.
    pub(super) fn take(&self, mut world: World, step: Step) -> World {
        if let Some(cost) = step.cost(&world) {
            world.leaderless = 0;
            match cost {
                Cost::Fault => {
                    world.left.faults -= 1;
                    world.mishaps |= !matches!(step, Step::Crash(_));
                }
                Cost::Command => world.left.commands -= 1,
            }
        }
        match step {
            Step::Pass => self.pass(&mut world, None),
            Step::Slip(slow) => self.pass(&mut world, Some(slow)),
            Step::Tick(at) => self.tell(&mut world, at, Event::Tick),
            Step::Beat(at) => send_beat(&mut world, at),
            Step::Hear(at) => {
                world.with(at, |it| it.hinted = false);
                self.tell(&mut world, at, Event::Hint);
            }
            Step::MissHint(at) => world.with(at, |it| it.hinted = false),
            Step::EndJob(at) => {
                world.with(at, |it| it.job = Job::None);
                self.tell(&mut world, at, Event::JobEnded);
            }
            Step::FailStart(at) => self.tell(&mut world, at, Event::StartFailed(String::new())),
            Step::Resign(at) => self.tell(&mut world, at, Event::Resign),
            Step::ShutDown(at) => self.tell(&mut world, at, Event::ShutDown),
            Step::Serve(at) => self.serve(&mut world, at),
            Step::Deliver(at) => {
                let message = world.network.remove(at);
                if let (Some(to), Stage::Reply(reply)) = (message.waiting, message.stage) {
                    let event = self.event(&world, &message, Some(reply));
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
            Step::Pause(at) => world.with(at, |it| {
                it.paused = true;
                it.paused_in_term = true;
            }),
            Step::Resume(at) => world.with(at, |it| it.paused = false),
            Step::Crash(at) => world.leave(at),
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
        if message.call == Call::Release {
            world.give_up(message.lease);
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
            if message.call == Call::Release {
                // It did what it can.
                world.give_up(message.lease);
            }
            let event = self.event(world, message, None);
            self.tell(world, to, event);
        }
    }
}
