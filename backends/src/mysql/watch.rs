//! Hints by reading what was signalled since the last read: when a user-level lock announces a
//! release, every two seconds, and twice a second while a change is waited for that no user-level
//! lock will announce. If answers are slow, it reads less often.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use tokio::time::{Instant, sleep, sleep_until};

use super::listen::Attention;
use super::shared::Shared;
use crate::common::row::get;
use crate::{Hint, HintStream, Result};

/// How long a hint takes at most, in ordinary operation.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);

/// The pause between reads while a change is waited for that no user-level lock will announce.
const UNTOLD: Duration = Duration::from_millis(500);

/// The longest pause between attempts while the database cannot be read.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A signal's time is read before its commit, so that one may appear after a later one did. Each look
/// reaches back that far, in microseconds.
const OVERLAP: i64 = 2_000_000;

/// Reads take at most a tenth of the time, even if user-level locks announce releases all the time.
const RESTS: u32 = 9;
const LEAST_REST: Duration = Duration::from_millis(2);

/// What one look found.
pub(super) struct Look {
    /// The server's clock.
    clock: i64,
    /// The names signalled in the time looked at, and when.
    signals: HashMap<Vec<u8>, i64>,
}

impl Shared {
    /// Looks at what was signalled since shortly before `since`.
    pub(super) async fn look(&self, since: i64) -> Result<Look> {
        let after = since.saturating_sub(OVERLAP);
        let rows = self.read(|| sqlx::query(self.sql.signals.clone()).bind(after)).await?;
        let mut look = Look { clock: since, signals: HashMap::new() };
        for row in &rows {
            let read = || Ok((get(row, "name")?, get(row, "signal")?));
            let (name, at): (Vec<u8>, i64) = read().map_err(|damage| self.damaged(damage))?;
            if name.is_empty() {
                look.clock = at;
            } else {
                look.signals.insert(name, at);
            }
        }
        Ok(look)
    }
}

struct Watch {
    bells: Attention,
    shared: Arc<Shared>,
    seen: Look,
    hints: VecDeque<Hint>,
    pause: Duration,
    failing: bool,
    /// Before then no bell makes it look.
    rest: Instant,
}

/// Hints at everything that is signalled from now on.
pub(super) async fn hints(shared: Arc<Shared>) -> Result<HintStream> {
    let bells = shared.bells.ears.attend();
    let now = shared.look(i64::MAX).await?;
    let seen = shared.look(now.clock).await?;
    let (hints, pause, rest) = (VecDeque::new(), UNTOLD, Instant::now());
    let watch = Watch { bells, shared, seen, hints, pause, failing: false, rest };
    Ok(Box::pin(stream::unfold(watch, Watch::next)))
}

impl Watch {
    async fn next(mut self) -> Option<(Hint, Self)> {
        loop {
            if let Some(hint) = self.hints.pop_front() {
                return Some((hint, self));
            }
            if self.shared.pool.is_closed() {
                return None;
            }
            let usual = if self.bells.waits_untold() { UNTOLD } else { INTERVAL };
            // Out of step with other clients, also when a server starts again.
            let pause = self.pause.max(usual).mul_f64(0.75 + fastrand::f64() / 4.0);
            let (bells, rest) = (&mut self.bells, self.rest);
            tokio::select! {
                () = sleep(pause) => {}
                () = async { bells.rang().await; sleep_until(rest).await } => {}
            }
            let begun = Instant::now();
            let looked = self.look().await;
            let rest = (begun.elapsed() * RESTS).max(LEAST_REST);
            self.rest = Instant::now() + rest.min(UNTOLD);
            match looked {
                Ok(Some(look)) => {
                    self.learn(look);
                    self.pause = rest.min(LONGEST_PAUSE);
                }
                Ok(None) => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) && !self.shared.pool.is_closed()
                    {
                        tracing::warn!(%error, "the watch cannot read the table of locks");
                    }
                    self.pause = (self.pause * 2).clamp(UNTOLD, LONGEST_PAUSE);
                }
            }
        }
    }

    /// Runs in a task of its own: a stream that is not polled for a while must not keep a
    /// connection meanwhile, which may be the only one.
    async fn look(&self) -> Result<Option<Look>> {
        let (shared, since) = (Arc::clone(&self.shared), self.seen.clock);
        match tokio::spawn(async move { shared.look(since).await }).await {
            Ok(look) => look.map(Some),
            // The runtime is shutting down; the pool says so soon enough.
            Err(_) => Ok(None),
        }
    }

    fn learn(&mut self, look: Look) {
        if std::mem::take(&mut self.failing) {
            self.hints.push_back(Hint::Anything);
        }
        for (name, at) in &look.signals {
            if self.seen.signals.get(name) != Some(at) {
                let name = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
                self.hints.push_back(name.map_or(Hint::Anything, Hint::Name));
            }
        }
        self.seen = look;
    }
}
