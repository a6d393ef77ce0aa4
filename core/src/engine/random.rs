//! A client draws all its random numbers from one seeded source.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

/// A seeded random yields a client's random numbers.
#[derive(Debug)]
pub(crate) struct SeededRandom(Mutex<fastrand::Rng>);

impl SeededRandom {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(Mutex::new(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)))
    }

    pub(crate) fn up_to(&self, spread: Duration) -> Duration {
        spread.mul_f64(self.rng().f64())
    }

    pub(super) fn number(&self) -> u128 {
        self.rng().u128(..)
    }

    fn rng(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.0.lock()
    }
}
