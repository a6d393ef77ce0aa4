//! This module defines a clock that runs fast or slow, and whose timers do not fire while its
//! instance is frozen.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use leasehold_core::{Clock, Moment};
use tokio::time::Instant;

use super::gate::FreezeGate;

/// This is a clock that runs faster or slower than real time by some parts per million.
#[derive(Clone, Debug)]
pub(super) struct DriftingClock {
    begun: Instant,
    rate: f64,
    gate: Arc<FreezeGate>,
}

impl DriftingClock {
    /// Two clocks of this kind drift apart by less than one part in [`Timing::DRIFT`].
    ///
    /// [`Timing::DRIFT`]: leasehold_core::Timing::DRIFT
    pub(super) const FASTEST: i32 = 900;

    pub(super) fn new(begun: Instant, ppm: i32, gate: Arc<FreezeGate>) -> Self {
        Self { begun, rate: 1.0 + f64::from(ppm) / 1e6, gate }
    }

    /// Returns the time of the simulation at which this clock shows that time.
    pub(super) fn outside(&self, moment: Moment) -> Duration {
        moment.since_origin().div_f64(self.rate)
    }

    /// Waits by this clock, as the instance's own code does.
    pub(super) async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now() + time).await;
    }
}

impl Clock for DriftingClock {
    fn now(&self) -> Moment {
        Moment::from_origin(self.begun.elapsed().mul_f64(self.rate))
    }

    fn sleep_until(&self, moment: Moment) -> BoxFuture<'static, ()> {
        let this = self.clone();
        async move {
            let mut at = this.begun + this.outside(moment);
            loop {
                tokio::time::sleep_until(at).await;
                this.gate.let_timer_fire().await;
                if this.now() >= moment {
                    return;
                }
                // After rounding, the timer was a little early.
                at = Instant::now() + Duration::from_millis(1);
            }
        }
        .boxed()
    }
}
