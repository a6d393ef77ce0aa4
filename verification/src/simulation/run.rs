//! Runs a plan, and checks its history.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use leasehold_core::Result;
use tokio::runtime::{Builder, Handle};
use tokio::time::Instant;

use super::apply_plan::SimulatedCluster;
use super::clock::DriftingClock;
use super::fenced_register::FencedRegisters;
use super::gate::FreezeGate;
use super::link::MAX_MESSAGE_DELAY;
use super::process::{RunningInstance, Simulation};
use super::recording_store::RecordingStore;
use super::{Defect, SimulationPlan, panics};
use crate::checkers::{self, Violation};
use crate::history::{Event, History, HistoryRecorder};

/// Shutting everything down may take this long.
const MAX_LEAVE: Duration = Duration::from_secs(600);

/// This is the result of a run.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// This is the history of the run.
    pub history: History,
    /// These are the violations that the checkers found.
    pub violations: Vec<Violation>,
}

/// Runs a plan.
///
/// # Errors
/// Returns an error if the plan's settings contradict each other, or if no runtime can be created.
pub fn run(plan: &SimulationPlan) -> Result<RunResult> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| {
        leasehold_core::Error::invalid("cannot create a runtime").with_source(error)
    })?;
    let (history, panics) = panics::recorded_panics(move || runtime.block_on(run_plan(plan)));
    let mut history = history?;
    let ended = history.events.last().map_or(Duration::ZERO, |(at, _)| *at);
    history.events.extend(panics.into_iter().map(|message| (ended, Event::Panicked(message))));
    let violations = checkers::check(&history).err().unwrap_or_default();
    Ok(RunResult { history, violations })
}

async fn run_plan(plan: &SimulationPlan) -> Result<History> {
    let timing = plan.timing()?;
    let begun = Instant::now();
    let recorder = HistoryRecorder::new(timing.clone(), plan.kinds.clone());
    let mut random = fastrand::Rng::with_seed(plan.seed ^ 0x5eed);
    let ppm = match plan.defect {
        Some(Defect::SlowClocks) => 0,
        _ => random.i32(-DriftingClock::FASTEST..=DriftingClock::FASTEST),
    };
    let clock = DriftingClock::new(begun, ppm, Arc::new(FreezeGate::new(false)));
    let recording_store = RecordingStore::new(clock, recorder.clone(), plan.defect, random.u64(..));
    let registers = Arc::new(FencedRegisters::default());
    let simulation = Simulation { recording_store, recorder: recorder.clone(), registers, begun };
    let mut cluster = SimulatedCluster::boot(simulation, plan)?;
    for (at, operation) in &plan.operations {
        cluster.until(*at).await?;
        cluster.apply(*operation, plan).await?;
    }
    let settled = recorder.now() + Duration::from_secs(1);
    cluster.until(settled).await?;
    cluster.undo_all().await?;
    // This is long enough to notice that a leader is missing.
    let settle_time = (timing.ttl + timing.call_limit() + timing.poll_interval * 2) * 2;
    tokio::time::sleep(MAX_MESSAGE_DELAY + settle_time).await;
    let SimulatedCluster { running, simulation, .. } = cluster;
    let leaving = join_all(running.into_iter().map(RunningInstance::leave));
    // A task that does not end is found among the tasks that are left.
    let _ = tokio::time::timeout(MAX_LEAVE, leaving).await;
    // Messages in the network arrive, and watches notice that no client listens.
    tokio::time::sleep(MAX_MESSAGE_DELAY + timing.ttl * 2).await;
    drop(simulation);
    let tasks = Handle::current().metrics().num_alive_tasks();
    recorder.record(Event::Ended { tasks });
    Ok(recorder.history())
}
