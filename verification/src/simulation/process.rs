//! One instance of the simulated application.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_core::{Client, ElectionHandle, Holder, LockName, Result};
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::clock::DriftingClock;
use super::gate::Gate;
use super::job::WorkJob;
use super::link::Link;
use super::locker;
use super::referee::Referee;
use super::register::Registers;
use super::{Defect, Plan};
use crate::history::{Fact, Name, Process, Recorder, Write};

/// What an instance and its jobs share.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: Process,
    pub(super) clock: DriftingClock,
    pub(super) gate: Arc<Gate>,
    pub(super) link: Link,
    pub(super) defect: Option<Defect>,
    recorder: Recorder,
    registers: Arc<Registers>,
    random: Mutex<fastrand::Rng>,
    alive: AtomicBool,
}

/// What the instances of a run share.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) referee: Referee,
    pub(super) recorder: Recorder,
    pub(super) registers: Arc<Registers>,
    pub(super) begun: tokio::time::Instant,
}

/// An instance that runs: its elections, and the task that takes locks.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) instance: Arc<Instance>,
    pub(super) elections: Vec<ElectionHandle>,
    locker: AbortHandle,
}

/// Names by their numbers.
pub(super) struct Names;

impl Names {
    pub(super) fn name(number: Name) -> String {
        format!("name-{number}")
    }

    pub(super) fn number(name: &LockName) -> Name {
        name.as_str().trim_start_matches("name-").parse().unwrap_or_default()
    }
}

impl Instance {
    pub(super) fn note(&self, fact: Fact) {
        if self.alive.load(Ordering::SeqCst) {
            self.recorder.note(fact);
        }
    }

    pub(super) fn draw(&self, sides: u32) -> u32 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).u32(0..sides)
    }

    pub(super) fn up_to(&self, most: Duration) -> Duration {
        let share = self.random.lock().unwrap_or_else(PoisonError::into_inner).f64();
        most.mul_f64(share)
    }

    /// Writes to what the name protects, by one who was just told that the lease is held; on its
    /// way the instance may freeze, and the answer be lost.
    pub(super) async fn write(&self, name: Name, token: u64) {
        self.note(Fact::Relies(self.id, name, token));
        self.clock.sleep(self.up_to(Duration::from_millis(50))).await;
        if !self.alive.load(Ordering::SeqCst) {
            return;
        }
        let outcome = self.registers.write(name, token);
        let heard = if self.draw(10) == 0 { Write::Unknown } else { outcome };
        self.note(Fact::Wrote(self.id, name, token, heard));
    }
}

impl Running {
    pub(super) fn boot(world: &World, plan: &Plan, id: Process, seed: u64) -> Result<Self> {
        let mut random = fastrand::Rng::with_seed(seed);
        let gate = Arc::new(Gate::new(random.bool()));
        let ppm = match plan.defect {
            Some(Defect::SlowClocks) => -100_000,
            _ => random.i32(-DriftingClock::FASTEST..=DriftingClock::FASTEST),
        };
        let clock = DriftingClock::new(world.begun, ppm, gate.clone());
        let link = Link::new(world.referee.clone(), id, gate.clone(), random.u64(..));
        let instance = Arc::new(Instance {
            id,
            clock: clock.clone(),
            gate,
            link: link.clone(),
            defect: plan.defect,
            recorder: world.recorder.clone(),
            registers: world.registers.clone(),
            random: Mutex::new(random.fork()),
            alive: AtomicBool::new(true),
        });
        let holder = Holder {
            instance: Uuid::from_u128(random.u128(..)),
            host: "simulated".to_owned(),
            pid: u32::try_from(id).unwrap_or_default(),
            label: None,
        };
        let client = Client::builder(Arc::new(link))
            .clock(Arc::new(clock))
            .settings(plan.settings.clone())
            .holder(holder)
            .repeatable(random.u64(..))
            .build()?;
        let grace = plan.timing()?.stop_grace;
        let mut elections = Vec::new();
        for name in 0..plan.led {
            let job = WorkJob::new(instance.clone(), name, grace);
            elections.push(client.election(Names::name(name))?.spawn(job));
        }
        let taking = locker::take_locks(instance.clone(), client, plan.led);
        let locker = tokio::spawn(taking).abort_handle();
        instance.note(Fact::Booted(id));
        Ok(Self { instance, elections, locker })
    }

    /// It is gone from one moment to the next; its code winds up unseen.
    pub(super) fn crash(self) {
        self.instance.note(Fact::Crashed(self.instance.id));
        self.instance.alive.store(false, Ordering::SeqCst);
        self.instance.link.cut_off();
        self.instance.gate.set_open(true);
        self.locker.abort();
    }

    /// It stops in order.
    pub(super) async fn leave(self) {
        self.instance.note(Fact::Leaving(self.instance.id));
        self.locker.abort();
        // All at once, as a program that ends does it.
        futures_util::future::join_all(self.elections.into_iter().map(ElectionHandle::shutdown))
            .await;
        self.instance.note(Fact::Left(self.instance.id));
    }
}
