//! The election's state machine under a model checker: every order of events, up to a number of
//! faults and commands.
//!
//! What is checked is [`Machine`](leasehold_core::election::machine::Machine), the code that
//! ships. What drives it, which keeps lease ids and sends its requests, is a model of the driver
//! that ships. Around it stand the store as the contract has it, a network that loses and delays, and
//! clocks. Time comes in whole units, and a state knows moments only as they are from the
//! present, so that states recur and a search comes to an end.
//!
//! Nothing is late of itself: a message arrives, a timer fires and a job ends within the unit of
//! time in which it can, in any order, unless a fault is spent on it.

mod driver;
mod explore;
mod flaw;
mod network;
mod step;
mod store;
mod take;
mod world;

use std::time::Duration;

use leasehold_core::{LockStore, MemoryStore, Moment, Result, Settings, Timing};
use stateright::{Model, Property};

pub use explore::Explored;
pub use flaw::Flaw;
pub use step::Step;
pub use store::{Call, Lease, Reply, Store};
pub use world::{Instance, Job, LeaseId, Message, Rule, Stage, World};

const UNIT: Duration = Duration::from_secs(1);

/// Units of time that a lease lasts.
const TTL: u8 = 6;

/// The present, in every state; what lies further back than two ttls is all the same.
const NOW: Moment = Moment::from_secs(2 * TTL as u64);

/// What may go wrong or be commanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Messages lost, failed or delayed, hints missed, clocks that slip, jobs that fail to start,
    /// instances that pause or crash.
    pub faults: u8,
    /// Disable, enable, resign and shut down.
    pub commands: u8,
}

/// An election among a few instances.
#[derive(Clone, Debug)]
pub struct Election {
    instances: usize,
    limits: Limits,
    flaw: Option<Flaw>,
    timing: Timing,
}

impl Election {
    /// The engine as it ships.
    ///
    /// # Errors
    /// When the model's settings contradict each other.
    pub fn new(instances: usize, limits: Limits) -> Result<Self> {
        let settings = Settings::new()
            .ttl(UNIT * u32::from(TTL))
            .margin(UNIT)
            .stop_grace(UNIT)
            .heartbeat_retries(1)
            .heartbeat_interval(UNIT * 2)
            .poll_interval(UNIT * 2);
        let timing = settings.resolve(&MemoryStore::new().capabilities())?;
        Ok(Self { instances, limits, flaw: None, timing })
    }

    /// The same without one of its rules.
    #[must_use]
    pub fn without(mut self, flaw: Flaw) -> Self {
        if flaw == Flaw::NoMargin {
            self.timing.margin = Duration::ZERO;
        }
        Self { flaw: Some(flaw), ..self }
    }

    /// For how long, in units, a name may be without a leader once nothing is in the way. The lease
    /// of one that is gone runs out, and whoever waits knows when. Only where more went wrong is a
    /// call waited for that was lost, and after that comes the pause after a failure.
    fn patience(&self, world: &World) -> u8 {
        let mishaps = self.timing.call_limit() + self.timing.poll_interval;
        let longest = self.timing.ttl + if world.mishaps { mishaps } else { Duration::ZERO };
        u8::try_from(longest.as_secs()).unwrap_or(u8::MAX) + 1
    }
}

impl Model for Election {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            store: Store::default(),
            instances: vec![Some(Instance::new(&self.timing)); self.instances],
            network: Vec::new(),
            left: self.limits,
            started: 0,
            leaderless: 0,
            mishaps: false,
            broken: None,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        steps.extend(self.possible(world));
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        Some(self.take(world.clone(), step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one instance trusts its lease", |_, world: &World| {
                world.running().filter(|(_, instance)| instance.trusts()).count() <= 1
            }),
            Property::always("whoever trusts its lease has it", |_, world: &World| {
                let live = world.store.live().map(|lease| lease.id);
                world.running().all(|(_, it)| !it.trusts() || live == it.lease)
            }),
            // A clock may slip by all of the margin, and then an abort and another's start fall
            // into the same moment, in either order. So this is looked at when time passes.
            Property::always(
                "jobs never overlap, but for one that was paused",
                |_, world: &World| {
                    let at_work = |(_, it): &(usize, &Instance)| it.job != Job::None;
                    let jobs = world.running().filter(at_work);
                    world.is_busy() || jobs.filter(|(_, it)| !it.paused_in_term).count() <= 1
                },
            ),
            Property::always("nobody leads a disabled name past its lease", |_, world: &World| {
                let over = world.store.disabled && world.store.notice == 0;
                !over || world.running().all(|(_, instance)| !instance.trusts())
            }),
            Property::always("a lease that is over stays over", |_, world: &World| {
                !world.store.revived
            }),
            Property::always("tokens grow", |_, world: &World| {
                world.broken != Some(Rule::TokensGrow)
            }),
            Property::always("start, then stop, then the end", |_, world: &World| {
                world.broken != Some(Rule::StartStop)
            }),
            Property::always("nobody stands in its own way", |_, world: &World| {
                world.broken != Some(Rule::OwnWay)
            }),
            Property::always("no lease of an aborted job is released", |_, world: &World| {
                world.broken != Some(Rule::ReleasedAfterAbort)
            }),
            Property::always("trust that is over does not come back", |_, world: &World| {
                world.broken != Some(Rule::TrustReturns)
            }),
            Property::always("once faults cease, somebody leads", |model: &Self, world: &World| {
                world.leaderless <= model.patience(world)
            }),
        ]
    }
}
