//! This module defines the operations on a cluster, drawn from a seed.

use std::fmt;
use std::time::Duration;

use leasehold_core::{LockKind, LockStore, MemoryStore, Result, Settings, Timing};

use super::{kinds, settings};
use crate::history::NameId;

/// This is the plan of a run, without the choices that the same seed decides during the run.
#[derive(Clone, Debug)]
pub struct SimulationPlan {
    /// All of the run is drawn from this seed.
    pub seed: u64,
    /// This many instances run at a time. A new instance replaces one that has crashed or left.
    pub instances: usize,
    /// This many names are led, each by one or more of the instances.
    pub led: usize,
    /// These are the kinds of the names that are led, and then of those that are locked.
    pub kinds: Vec<LockKind>,
    /// These are the settings of every instance.
    pub settings: Settings,
    /// These are the operations, each with its time.
    pub operations: Vec<(Duration, Operation)>,
    /// The store or the clocks have this defect, which the checkers must notice.
    pub defect: Option<Defect>,
}

/// An operation acts on a cluster. Instances are named by their position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An instance crashes, and a new one replaces it.
    Crash(usize),
    /// An instance leaves in an orderly way, and a new one replaces it.
    Replace(usize),
    /// The instance is frozen: no code of it runs for that long.
    Freeze(usize, Duration),
    /// The instance's link to the store has these faults for that long.
    SetFaults(usize, FaultProfile, Duration),
    /// The store is unavailable for that long.
    Outage(Duration),
    /// The leader resigns.
    Resign(NameId),
    /// The name is disabled for that long.
    Disable(NameId, Duration),
}

/// These are the faults of an instance's link to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultProfile {
    /// Everything arrives soon, in any order.
    Fair,
    /// Some messages are lost, some fail, and all are late.
    Rough,
    /// Everything arrives, after seconds.
    Slow,
    /// Every call is refused.
    Refusing,
    /// No call is ever answered, though some arrive.
    Silent,
}

/// A defect is a promise that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The store grants a name that is held, from time to time.
    GrantsTwice,
    /// The store says that an entry holds the lock although it waits, from time to time.
    SkipsQueue,
    /// The store says that an entry waits although it holds the lock, unless it held it when it was
    /// made.
    ForgetsWaiters,
    /// The store says that the floor of a queue is the token of the latest entry.
    RaisesFloors,
    /// The store restarts the tokens, from time to time.
    ForgetsTokens,
    /// The store extends the leases of disabled names.
    RenewsDisabled,
    /// The store never gives a hint.
    NeverHints,
    /// The store reports that the lease that blocks a name lasts for another ttl.
    OverstatesLeases,
    /// The store reports that it has released a lease, but keeps it.
    IgnoresReleases,
    /// After some time, the store no longer grants anything.
    StopsGranting,
    /// After some time, the store no longer renews anything.
    StopsRenewing,
    /// An attempt without an answer is not retried: the next one has another lease id.
    ForgetsAttempts,
    /// Jobs are not asked to stop, from time to time.
    ForgetsStops,
    /// The instances' clocks are slower than the store's by a tenth.
    SlowClocks,
}

impl SimulationPlan {
    /// Operations happen for this long.
    const BUSY: Duration = Duration::from_secs(100);

    /// Returns the plan that the seed draws.
    #[must_use]
    pub fn generate(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let ttl = Duration::from_secs([3, 5, 9, 15][random.usize(0..4)]);
        let settings = settings::draw(ttl, &mut random);
        let (instances, led) = (random.usize(2..6), random.usize(1..4));
        let led_kinds = (0..led).map(|_| kinds::draw_led(&mut random)).collect::<Vec<_>>();
        let locked_kinds = (0..Self::LOCKED).map(|_| kinds::draw_locked(&mut random));
        let kinds = led_kinds.into_iter().chain(locked_kinds).collect();
        let mut at = Duration::ZERO;
        let mut operations = Vec::new();
        // Some runs have a fault almost every second. Some have none, and many handovers.
        let longest_pause = [4_000, 15_000, 40_000][random.usize(0..3)];
        let without_faults = random.u32(0..4) == 0;
        loop {
            at += Duration::from_millis(random.u64(0..longest_pause));
            if at > Self::BUSY {
                break;
            }
            let long = Duration::from_millis(random.u64(0..25_000));
            let position = random.usize(0..instances);
            let name = random.usize(0..led);
            operations.push((
                at,
                match random.u32(0..17) {
                    0 | 1 => Operation::Replace(position),
                    _ if without_faults => Operation::Resign(name),
                    2 | 3 => Operation::Crash(position),
                    4..7 => Operation::Freeze(position, long),
                    7 => Operation::Outage(long / 2),
                    8..10 => Operation::Resign(name),
                    10 | 11 => Operation::Disable(random.usize(0..led + Self::LOCKED), long),
                    12 => Operation::SetFaults(position, FaultProfile::Slow, long),
                    13 => Operation::SetFaults(position, FaultProfile::Refusing, long),
                    14 => Operation::SetFaults(position, FaultProfile::Silent, long),
                    15 => {
                        operations.extend(Self::wake_late(position, at, ttl, &mut random));
                        continue;
                    }
                    _ => Operation::SetFaults(position, FaultProfile::Rough, long),
                },
            ));
        }
        operations.sort_by_key(|(at, _)| *at);
        Self { seed, instances, led, kinds, settings, operations, defect: None }
    }

    /// Makes an instance fail to renew its leases, freeze during a heartbeat, and continue when its
    /// trust has ended or is about to end. At random this would hardly ever happen.
    fn wake_late(
        position: usize,
        at: Duration,
        ttl: Duration,
        random: &mut fastrand::Rng,
    ) -> [(Duration, Operation); 3] {
        let mut part = |from: f64, to: f64| ttl.mul_f64(from + (to - from) * random.f64());
        let (away, freeze, frozen) = (part(0.2, 0.5), part(0.0, 0.15), part(0.3, 0.8));
        let rough = Operation::SetFaults(position, FaultProfile::Rough, freeze + frozen);
        [
            (at, Operation::SetFaults(position, FaultProfile::Refusing, ttl)),
            (at + away, rough),
            (at + away + freeze, Operation::Freeze(position, frozen)),
        ]
    }

    /// Returns the same plan with that defect.
    #[must_use]
    pub fn with(self, defect: Defect) -> Self {
        Self { defect: Some(defect), ..self }
    }

    /// Returns the settings with every default filled in.
    ///
    /// # Errors
    /// Returns an error if the settings contradict each other.
    pub fn timing(&self) -> Result<Timing> {
        self.settings.resolve(&MemoryStore::new().capabilities())
    }

    /// This many names are locked, in addition to those that are led.
    pub(super) const LOCKED: usize = 2;
}

impl fmt::Display for SimulationPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, instances, led, .. } = self;
        writeln!(f, "seed {seed}: {instances} instances, {led} names led")?;
        for (name, kind) in self.kinds.iter().enumerate() {
            writeln!(f, "name {name}: {kind}")?;
        }
        if let Ok(timing) = self.timing() {
            writeln!(f, "{timing:?}")?;
        }
        for (at, operation) in &self.operations {
            writeln!(f, "{:>12.3}  {operation:?}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
