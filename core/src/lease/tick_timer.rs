//! A tick timer waits for the next tick of a machine.

use std::future::pending;

use futures_util::FutureExt;

use super::machine::NextTick;
use crate::Moment;
use crate::engine::Engine;

/// A tick timer draws the random moment of a machine's next tick, and waits for it.
#[derive(Debug, Default)]
pub(crate) struct TickTimer {
    drawn: Option<(NextTick, Moment)>,
}

impl TickTimer {
    /// Waits until the moment of the machine's next tick, or forever if it needs none.
    pub(crate) fn sleep(
        &mut self,
        next: Option<NextTick>,
        engine: &Engine,
    ) -> impl Future<Output = ()> + Send + use<> {
        let Some(next) = next else { return pending().boxed() };
        // The random moment is drawn once per tick, not again at every event in between.
        let drawn = self.drawn.filter(|(last, _)| *last == next).map(|(_, at)| at);
        let at = drawn.unwrap_or_else(|| next.at + engine.jitter(next.jitter));
        self.drawn = Some((next, at));
        engine.store.clock().sleep_until(at)
    }
}
