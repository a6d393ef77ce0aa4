//! Applies the operations of a plan to a cluster.

use std::time::Duration;

use leasehold_core::{DisableOptions, LockName, LockStore, Reason, Result};

use super::names::NameTable;
use super::process::{RunningInstance, Simulation};
use super::{FaultProfile, Operation, SimulationPlan};
use crate::history::{Event, InstanceId, NameId};

/// These are the running instances of a simulation, and the parts that they share.
#[derive(Debug)]
pub(super) struct SimulatedCluster {
    pub(super) simulation: Simulation,
    pub(super) running: Vec<RunningInstance>,
    random: fastrand::Rng,
    booted: InstanceId,
    /// These are the effects that must be undone, and when.
    pending: Vec<(Duration, Undo)>,
}

#[derive(Clone, Copy, Debug)]
enum Undo {
    Thaw(InstanceId),
    RestoreLink(InstanceId),
    Enable(NameId),
}

impl SimulatedCluster {
    pub(super) fn boot(simulation: Simulation, plan: &SimulationPlan) -> Result<Self> {
        let random = fastrand::Rng::with_seed(plan.seed);
        let mut cluster =
            Self { simulation, running: Vec::new(), random, booted: 0, pending: Vec::new() };
        for _ in 0..plan.instances {
            let instance = cluster.next(plan)?;
            cluster.running.push(instance);
        }
        Ok(cluster)
    }

    fn next(&mut self, plan: &SimulationPlan) -> Result<RunningInstance> {
        self.booted += 1;
        RunningInstance::boot(&self.simulation, plan, self.booted, self.random.u64(..))
    }

    fn note(&self, event: Event) {
        self.simulation.recorder.record(event);
    }

    /// Waits until then, and undoes the effects that end before.
    pub(super) async fn until(&mut self, then: Duration) -> Result<()> {
        loop {
            let next = self.pending.iter().enumerate().min_by_key(|(at, (due, _))| (*due, *at));
            let Some((at, &(due, undo))) = next.filter(|(_, (due, _))| *due <= then) else { break };
            self.pending.remove(at);
            tokio::time::sleep_until(self.simulation.begun + due).await;
            self.undo(undo).await?;
        }
        tokio::time::sleep_until(self.simulation.begun + then).await;
        Ok(())
    }

    /// Undoes all effects at once.
    pub(super) async fn undo_all(&mut self) -> Result<()> {
        for (_, undo) in std::mem::take(&mut self.pending) {
            self.undo(undo).await?;
        }
        Ok(())
    }

    async fn undo(&mut self, undo: Undo) -> Result<()> {
        match undo {
            Undo::Thaw(id) => {
                if let Some(running) = self.find(id) {
                    running.instance.gate.set_open(true);
                    self.note(Event::Thawed(id));
                }
            }
            Undo::RestoreLink(id) => {
                if let Some(running) = self.find(id) {
                    running.instance.link.set(FaultProfile::Fair);
                    self.note(Event::LinkRestored(id));
                }
            }
            Undo::Enable(name) => {
                self.simulation
                    .recording_store
                    .store
                    .enable(&LockName::new(NameTable::name(name))?)
                    .await?;
                self.note(Event::Enabled(name));
            }
        }
        Ok(())
    }

    fn find(&self, id: InstanceId) -> Option<&RunningInstance> {
        self.running.iter().find(|running| running.instance.id == id)
    }

    pub(super) async fn apply(
        &mut self,
        operation: Operation,
        plan: &SimulationPlan,
    ) -> Result<()> {
        let now = self.simulation.recorder.now();
        match operation {
            Operation::Crash(position) => {
                let next = self.next(plan)?;
                std::mem::replace(&mut self.running[position], next).crash();
            }
            Operation::Replace(position) => {
                // A frozen instance cannot be asked.
                if self.running[position].instance.gate.is_open() {
                    let next = self.next(plan)?;
                    tokio::spawn(std::mem::replace(&mut self.running[position], next).leave());
                }
            }
            Operation::Freeze(position, time) => {
                let instance = &self.running[position].instance;
                if instance.gate.is_open() {
                    instance.gate.set_open(false);
                    self.note(Event::Frozen(instance.id));
                    self.pending.push((now + time, Undo::Thaw(instance.id)));
                }
            }
            Operation::SetFaults(position, profile, time) => {
                self.degrade_link(position, profile, now + time);
            }
            Operation::Outage(time) => {
                (0..self.running.len()).for_each(|position| {
                    self.degrade_link(position, FaultProfile::Refusing, now + time);
                });
            }
            Operation::Resign(name) => {
                let leader = self.running.iter().find(|running| {
                    running.instance.gate.is_open() && running.elections[name].status().is_leading()
                });
                if let Some(leader) = leader {
                    if let Some(token) = leader.elections[name].status().token {
                        self.note(Event::Resigns(leader.instance.id, name, token.get()));
                    }
                    // The call is not awaited, because a first poll sends the command.
                    futures_util::FutureExt::now_or_never(leader.elections[name].resign());
                }
            }
            Operation::Disable(name, time) => {
                let name_itself = LockName::new(NameTable::name(name))?;
                let options = DisableOptions::new(Reason::new("upkeep")?);
                self.simulation.recording_store.store.disable(&name_itself, &options).await?;
                self.note(Event::Disabled(name));
                self.pending.retain(|(_, undo)| !matches!(undo, Undo::Enable(n) if *n == name));
                self.pending.push((now + time, Undo::Enable(name)));
            }
        }
        Ok(())
    }

    fn degrade_link(&mut self, position: usize, profile: FaultProfile, until: Duration) {
        let instance = &self.running[position].instance;
        let id = instance.id;
        instance.link.set(profile);
        self.note(Event::LinkDegraded(id));
        self.pending
            .retain(|(_, undo)| !matches!(undo, Undo::RestoreLink(process) if *process == id));
        self.pending.push((until, Undo::RestoreLink(id)));
    }
}
