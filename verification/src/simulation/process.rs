//! This module defines one instance of the simulated application.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use leasehold_core::{Client, ElectionHandle, Holder, Result};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::clock::DriftingClock;
use super::fenced_register::FencedRegisters;
use super::gate::FreezeGate;
use super::instance::Instance;
use super::job::WorkJob;
use super::link::SimulatedStore;
use super::lock_workload;
use super::names::NameTable;
use super::recording_store::RecordingStore;
use super::{Defect, SimulationPlan};
use crate::history::{Event, HistoryRecorder, InstanceId};

/// These are the parts that the instances of a run share.
#[derive(Clone, Debug)]
pub(super) struct Simulation {
    pub(super) recording_store: RecordingStore,
    pub(super) recorder: HistoryRecorder,
    pub(super) registers: Arc<FencedRegisters>,
    pub(super) begun: tokio::time::Instant,
}

/// This is an instance that runs: its elections, and the task with the loops that acquire locks.
#[derive(Debug)]
pub(super) struct RunningInstance {
    pub(super) instance: Arc<Instance>,
    pub(super) elections: Vec<ElectionHandle>,
    lock_task: AbortHandle,
}

impl RunningInstance {
    pub(super) fn boot(
        simulation: &Simulation,
        plan: &SimulationPlan,
        id: InstanceId,
        seed: u64,
    ) -> Result<Self> {
        let mut random = fastrand::Rng::with_seed(seed);
        let gate = Arc::new(FreezeGate::new(random.bool()));
        let ppm = match plan.defect {
            Some(Defect::SlowClocks) => -100_000,
            _ => random.i32(-DriftingClock::FASTEST..=DriftingClock::FASTEST),
        };
        let clock = DriftingClock::new(simulation.begun, ppm, gate.clone());
        let link = SimulatedStore::new(
            simulation.recording_store.clone(),
            id,
            gate.clone(),
            random.u64(..),
        );
        let instance = Arc::new(Instance {
            id,
            clock: clock.clone(),
            gate,
            link: link.clone(),
            defect: plan.defect,
            recorder: simulation.recorder.clone(),
            registers: simulation.registers.clone(),
            random: Mutex::new(random.fork()),
            alive: AtomicBool::new(true),
        });
        let holder = Holder::new(
            Uuid::from_u128(random.u128(..)),
            "simulated".to_owned(),
            u32::try_from(id).unwrap_or_default(),
        );
        let client = Client::builder(Arc::new(link))
            .clock(Arc::new(clock))
            .settings(plan.settings.clone())
            .holder(holder)
            .deterministic(random.u64(..))
            .build()?;
        let grace = plan.timing()?.stop_grace;
        let mut elections = Vec::new();
        let (led, locked) = plan.kinds.split_at(plan.led.min(plan.kinds.len()));
        for (name, kind) in led.iter().enumerate() {
            let job = WorkJob::new(instance.clone(), name, grace);
            let election = client.election(NameTable::name(name))?.with_kind(*kind, 1)?;
            elections.push(election.spawn(job));
        }
        // Two tasks often wait for the same lock, in the client's own queue.
        let lock_callers = [(); 2].map(|()| {
            let (instance, client) = (instance.clone(), client.clone());
            lock_workload::acquire_locks(instance, client, plan.led, locked.to_vec())
        });
        let lock_task = tokio::spawn(join_all(lock_callers)).abort_handle();
        instance.note(Event::Booted(id));
        Ok(Self { instance, elections, lock_task })
    }

    /// Crashes the instance: it ends at once, and its code has no further effect.
    pub(super) fn crash(self) {
        self.instance.note(Event::Crashed(self.instance.id));
        self.instance.alive.store(false, Ordering::SeqCst);
        self.instance.link.cut_off();
        self.instance.gate.set_open(true);
        self.lock_task.abort();
    }

    /// Makes the instance leave in an orderly way.
    pub(super) async fn leave(self) {
        self.instance.note(Event::Leaving(self.instance.id));
        self.lock_task.abort();
        // All elections leave at the same time, as in a program that ends.
        join_all(self.elections.into_iter().map(ElectionHandle::shutdown)).await;
        self.instance.note(Event::Left(self.instance.id));
    }
}
