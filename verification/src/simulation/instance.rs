//! This module defines the parts that an instance and its jobs share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::Defect;
use super::clock::DriftingClock;
use super::fenced_register::FencedRegisters;
use super::gate::FreezeGate;
use super::link::SimulatedStore;
use crate::history::{Event, HistoryRecorder, InstanceId, NameId, WriteResult};

/// These are the parts that an instance and its jobs share.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    pub(super) clock: DriftingClock,
    pub(super) gate: Arc<FreezeGate>,
    pub(super) link: SimulatedStore,
    pub(super) defect: Option<Defect>,
    pub(super) recorder: HistoryRecorder,
    pub(super) registers: Arc<FencedRegisters>,
    pub(super) random: Mutex<fastrand::Rng>,
    pub(super) alive: AtomicBool,
}

impl Instance {
    pub(super) fn note(&self, event: Event) {
        if self.alive.load(Ordering::SeqCst) {
            self.recorder.record(event);
        }
    }

    pub(super) fn draw(&self, sides: u32) -> u32 {
        self.random.lock().u32(0..sides)
    }

    pub(super) fn up_to(&self, most: Duration) -> Duration {
        let share = self.random.lock().f64();
        most.mul_f64(share)
    }

    /// Writes to the resource that the name protects, after the instance was told that the lease is
    /// held. During the write the instance may freeze, and the reply may be lost.
    pub(super) async fn write(&self, name: NameId, token: u64, floor: u64) {
        self.note(Event::ToldHeld(self.id, name, token));
        self.clock.sleep(self.up_to(Duration::from_millis(50))).await;
        if !self.alive.load(Ordering::SeqCst) {
            return;
        }
        let outcome = self.registers.write(name, token, floor);
        let reported = if self.draw(10) == 0 { WriteResult::Unknown } else { outcome };
        self.note(Event::Wrote(self.id, name, token, floor, reported));
    }
}
