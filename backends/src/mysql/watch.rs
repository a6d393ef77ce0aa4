//! Hints by reading what was signalled since the last read: when a user-level lock announces a
//! release, every two seconds, and twice a second while a change is waited for that no user-level
//! lock will announce. If answers are slow, it reads less often.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use tokio::time::{Instant, sleep, sleep_until};

use super::listener::ListenerSubscription;
use super::shared::MySqlInner;
use crate::common::row::get;
use crate::{Hint, HintStream, Result};

/// How long a hint takes at most, in ordinary operation.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);

/// The pause between reads while a change is waited for that no user-level lock will announce.
const FAST_INTERVAL: Duration = Duration::from_millis(500);

/// The longest pause between attempts while the database cannot be read.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// A signal's time is read before its commit, so that one may appear after a later one did. Each read
/// reaches back that far, in microseconds.
const OVERLAP: i64 = 2_000_000;

/// Reads take at most a tenth of the time, even if user-level locks announce releases all the time.
const MAX_LOAD_FACTOR: u32 = 9;
const MIN_REST: Duration = Duration::from_millis(2);

/// The result of one read.
pub(super) struct SignalRead {
    /// The server's clock.
    clock: i64,
    /// The names that were signalled, and when.
    signals: HashMap<Vec<u8>, i64>,
}

impl MySqlInner {
    /// Reads what was signalled since shortly before `since`.
    pub(super) async fn read_signals(&self, since: i64) -> Result<SignalRead> {
        let after = since.saturating_sub(OVERLAP);
        let rows = self.read(|| sqlx::query(self.sql.signals.clone()).bind(after)).await?;
        let mut found = SignalRead { clock: since, signals: HashMap::new() };
        for row in &rows {
            let read = || Ok((get(row, "name")?, get(row, "signal")?));
            let (name, at): (Vec<u8>, i64) = read().map_err(|corrupt| self.corrupt_row(corrupt))?;
            if name.is_empty() {
                found.clock = at;
            } else {
                found.signals.insert(name, at);
            }
        }
        Ok(found)
    }
}

struct SignalPoller {
    listener: ListenerSubscription,
    shared: Arc<MySqlInner>,
    seen: SignalRead,
    hints: VecDeque<Hint>,
    pause: Duration,
    failing: bool,
    /// Before this time, notifications cause no read.
    ignore_until: Instant,
}

/// Hints at everything that is signalled from now on.
pub(super) async fn hints(shared: Arc<MySqlInner>) -> Result<HintStream> {
    let listener = shared.notifications.listener.subscribe();
    let now = shared.read_signals(i64::MAX).await?;
    let seen = shared.read_signals(now.clock).await?;
    let (hints, pause, ignore_until) = (VecDeque::new(), FAST_INTERVAL, Instant::now());
    let watch = SignalPoller { listener, shared, seen, hints, pause, failing: false, ignore_until };
    Ok(Box::pin(stream::unfold(watch, SignalPoller::next)))
}

impl SignalPoller {
    async fn next(mut self) -> Option<(Hint, Self)> {
        loop {
            if let Some(hint) = self.hints.pop_front() {
                return Some((hint, self));
            }
            if self.shared.pool.is_closed() {
                return None;
            }
            let usual = if self.listener.must_poll() { FAST_INTERVAL } else { INTERVAL };
            // Out of step with other clients, also when a server starts again.
            let pause = self.pause.max(usual).mul_f64(0.75 + fastrand::f64() / 4.0);
            let (listener, ignore_until) = (&mut self.listener, self.ignore_until);
            tokio::select! {
                () = sleep(pause) => {}
                () = async { listener.notified().await; sleep_until(ignore_until).await } => {}
            }
            let begun = Instant::now();
            let result = self.read_in_task().await;
            let rest = (begun.elapsed() * MAX_LOAD_FACTOR).max(MIN_REST);
            self.ignore_until = Instant::now() + rest.min(FAST_INTERVAL);
            match result {
                Ok(Some(read)) => {
                    self.emit_new_hints(read);
                    self.pause = rest.min(MAX_BACKOFF);
                }
                Ok(None) => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) && !self.shared.pool.is_closed()
                    {
                        tracing::warn!(%error, "the watch cannot read the table of locks");
                    }
                    self.pause = (self.pause * 2).clamp(FAST_INTERVAL, MAX_BACKOFF);
                }
            }
        }
    }

    /// Runs in a task of its own: a stream that is not polled for a while must not keep a
    /// connection in the meantime, which may be the only one.
    async fn read_in_task(&self) -> Result<Option<SignalRead>> {
        let (shared, since) = (Arc::clone(&self.shared), self.seen.clock);
        match tokio::spawn(async move { shared.read_signals(since).await }).await {
            Ok(read) => read.map(Some),
            // The runtime is shutting down; the pool says so soon enough.
            Err(_) => Ok(None),
        }
    }

    fn emit_new_hints(&mut self, read: SignalRead) {
        if std::mem::take(&mut self.failing) {
            self.hints.push_back(Hint::Anything);
        }
        for (name, at) in &read.signals {
            if self.seen.signals.get(name) != Some(at) {
                let name = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
                self.hints.push_back(name.map_or(Hint::Anything, Hint::Name));
            }
        }
        self.seen = read;
    }
}
