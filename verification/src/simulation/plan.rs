//! What happens to a cluster from outside, drawn from a seed.

use std::fmt;
use std::time::Duration;

use leasehold_core::{LockStore, MemoryStore, Result, Settings, Timing};

use super::settings;
use crate::history::NameId;

/// A run, but for what the same seed decides on the way.
#[derive(Clone, Debug)]
pub struct SimulationPlan {
    /// All of the run is drawn from this.
    pub seed: u64,
    /// How many instances there are at a time; one takes the place of one that is gone.
    pub instances: usize,
    /// How many names are led by one of them.
    pub led: usize,
    /// The settings of every instance.
    pub settings: Settings,
    /// What happens, and when.
    pub operations: Vec<(Duration, Operation)>,
    /// What is wrong with the store or the clocks, to show that it is noticed.
    pub defect: Option<Defect>,
}

/// Something that happens to a cluster. Instances are named by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An instance is gone from one moment to the next, and another boots in its place.
    Crash(usize),
    /// An instance leaves in order, and another boots in its place.
    Replace(usize),
    /// None of its code runs for that long.
    Freeze(usize, Duration),
    /// Its way to the store is like that for so long.
    SetFaults(usize, FaultProfile, Duration),
    /// The store is away for that long.
    Outage(Duration),
    /// The leader resigns.
    Resign(NameId),
    /// The name is disabled for that long.
    Disable(NameId, Duration),
}

/// How an instance's way to the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultProfile {
    /// Everything arrives soon, in any order.
    Fair,
    /// Some is lost, some refused, all of it late.
    Rough,
    /// Everything arrives, after seconds.
    Slow,
    /// Every call is refused.
    Refusing,
    /// No call is ever answered, though some arrive.
    Silent,
}

/// A promise that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The store grants a name that is held, now and then.
    GrantsTwice,
    /// The store begins with the tokens anew, now and then.
    ForgetsTokens,
    /// The store extends leases of disabled names.
    RenewsDisabled,
    /// The store never hints at anything.
    NeverHints,
    /// The store says of a lease that is in the way that it lasts for another ttl.
    OverstatesLeases,
    /// The store says that it takes a lease back, and does not.
    IgnoresReleases,
    /// The store grants nothing any more, after a while.
    StopsGranting,
    /// The store renews nothing any more, after a while.
    StopsRenewing,
    /// An attempt that has no answer is not tried again: the next one has another lease id.
    ForgetsAttempts,
    /// Jobs are not told to stop, now and then.
    ForgetsStops,
    /// The instances' clocks are slower than the store's by a tenth.
    SlowClocks,
}

impl SimulationPlan {
    /// For how long operations go on.
    const BUSY: Duration = Duration::from_secs(100);

    /// What that seed draws.
    #[must_use]
    pub fn generate(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let ttl = Duration::from_secs([3, 5, 9, 15][random.usize(0..4)]);
        let settings = settings::draw(ttl, &mut random);
        let (instances, led) = (random.usize(2..6), random.usize(1..4));
        let mut at = Duration::ZERO;
        let mut operations = Vec::new();
        // Some runs have hardly a second without a mishap; some have none, and much is handed over.
        let longest_pause = [4_000, 15_000, 40_000][random.usize(0..3)];
        let calm = random.u32(0..4) == 0;
        loop {
            at += Duration::from_millis(random.u64(0..longest_pause));
            if at > Self::BUSY {
                break;
            }
            let long = Duration::from_millis(random.u64(0..25_000));
            let place = random.usize(0..instances);
            let name = random.usize(0..led);
            operations.push((
                at,
                match random.u32(0..17) {
                    0 | 1 => Operation::Replace(place),
                    _ if calm => Operation::Resign(name),
                    2 | 3 => Operation::Crash(place),
                    4..7 => Operation::Freeze(place, long),
                    7 => Operation::Outage(long / 2),
                    8..10 => Operation::Resign(name),
                    10 | 11 => Operation::Disable(random.usize(0..led + Self::LOCKED), long),
                    12 => Operation::SetFaults(place, FaultProfile::Slow, long),
                    13 => Operation::SetFaults(place, FaultProfile::Refusing, long),
                    14 => Operation::SetFaults(place, FaultProfile::Silent, long),
                    15 => {
                        operations.extend(Self::wake_late(place, at, ttl, &mut random));
                        continue;
                    }
                    _ => Operation::SetFaults(place, FaultProfile::Rough, long),
                },
            ));
        }
        operations.sort_by_key(|(at, _)| *at);
        Self { seed, instances, led, settings, operations, defect: None }
    }

    /// Has an instance fail to renew its leases, then freeze with a heartbeat under way, and go on
    /// when its trust has ended or is about to: by itself, this would hardly ever come about.
    fn wake_late(
        place: usize,
        at: Duration,
        ttl: Duration,
        random: &mut fastrand::Rng,
    ) -> [(Duration, Operation); 3] {
        let mut part = |from: f64, to: f64| ttl.mul_f64(from + (to - from) * random.f64());
        let (away, freeze, frozen) = (part(0.2, 0.5), part(0.0, 0.15), part(0.3, 0.8));
        let rough = Operation::SetFaults(place, FaultProfile::Rough, freeze + frozen);
        [
            (at, Operation::SetFaults(place, FaultProfile::Refusing, ttl)),
            (at + away, rough),
            (at + away + freeze, Operation::Freeze(place, frozen)),
        ]
    }

    /// The same with something wrong.
    #[must_use]
    pub fn with(self, defect: Defect) -> Self {
        Self { defect: Some(defect), ..self }
    }

    /// The settings, with every default filled in.
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn timing(&self) -> Result<Timing> {
        self.settings.resolve(&MemoryStore::new().capabilities())
    }

    /// How many names are locked, beside those that are led.
    pub(super) const LOCKED: usize = 2;
}

impl fmt::Display for SimulationPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, instances, led, .. } = self;
        writeln!(f, "seed {seed}: {instances} instances, {led} names led")?;
        if let Ok(timing) = self.timing() {
            writeln!(f, "{timing:?}")?;
        }
        for (at, operation) in &self.operations {
            writeln!(f, "{:>12.3}  {operation:?}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
