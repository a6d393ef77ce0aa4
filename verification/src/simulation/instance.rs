//! What an instance and its jobs share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Defect;
use super::clock::DriftingClock;
use super::fenced_register::Registers;
use super::gate::Gate;
use super::link::Link;
use crate::history::{Fact, Name, Process, Recorder, Write};

/// What an instance and its jobs share.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: Process,
    pub(super) clock: DriftingClock,
    pub(super) gate: Arc<Gate>,
    pub(super) link: Link,
    pub(super) defect: Option<Defect>,
    pub(super) recorder: Recorder,
    pub(super) registers: Arc<Registers>,
    pub(super) random: Mutex<fastrand::Rng>,
    pub(super) alive: AtomicBool,
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
