//! A watch produces hints when a user-level lock announces the release of a name, and by reading
//! what was signalled since the last read.
//!
//! It reads every two seconds, and twice a second while a change is waited for that no user-level
//! lock will announce. While the store only waits for names whose holders announce their releases,
//! it reads once for each command that waits for a user-level lock, since a release may have come
//! just before that command. It also reads after a user-level lock has announced a release, and
//! when no session keeps one. If answers are slow, it reads less often.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::calls::MySql;
use super::listener::ListenerSubscription;
use crate::shell::Hints;
use crate::sql::purpose::Purpose;
use crate::sql::row::get;
use crate::{Hint, LockName, Result};

/// In ordinary operation a hint that is waited for takes at most this long.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);

/// Reads have this pause while a change is waited for that no user-level lock will announce.
const FAST_INTERVAL: Duration = Duration::from_millis(500);

/// Reads have at most this pause.
const MAX_INTERVAL: Duration = Duration::from_secs(5);

/// A signal's time is read before its commit, so that one may appear after a later one did. Each read
/// reaches back that far, in microseconds.
const OVERLAP: i64 = 2_000_000;

/// Reads take at most a tenth of the time, even if user-level locks announce releases all the time.
const MAX_LOAD_FACTOR: u32 = 9;
const MIN_REST: Duration = Duration::from_millis(2);

/// One read has this result.
struct SignalRead {
    /// The server's clock showed this time.
    clock: i64,
    /// These names were signalled.
    signals: HashMap<Vec<u8>, Signal>,
}

/// This is the latest signal of a name.
struct Signal {
    at: i64,
    /// This is the token of a grant after the signal that still stands, or 0.
    token: i64,
    has_queue: bool,
}

impl MySql {
    /// Reads what was signalled since shortly before `since`.
    async fn read_signals(&self, since: i64) -> Result<SignalRead> {
        let after = since.saturating_sub(OVERLAP);
        let signals = || sqlx::query(self.sql.signals.clone()).bind(after);
        let rows = self.connections.read_rows(Purpose::Read, signals).await?;
        let mut found = SignalRead { clock: since, signals: HashMap::new() };
        for row in &rows {
            let read = || {
                let has_queue = get::<_, i64>(row, "has_queue")? == 1;
                let (at, token) = (get(row, "signal")?, get(row, "token")?);
                let signal = Signal { at, token, has_queue };
                Ok((get::<_, Vec<u8>>(row, "name")?, signal))
            };
            let (name, signal) = read().map_err(|corrupt| self.corrupt_row(corrupt))?;
            if name.is_empty() {
                found.clock = signal.at;
            } else {
                found.signals.insert(name, signal);
            }
        }
        Ok(found)
    }

    /// Returns when the next read is due, if the last one began at that moment; `None` while no
    /// read is needed.
    fn read_due(&self, listener: &ListenerSubscription, last_read: Instant) -> Option<Instant> {
        if self.notifications.follows_all_changes() {
            return Some(last_read);
        }
        listener.read_due(last_read)
    }
}

/// Shortens an interval by a random part, so that clients do not read at the same moment, even
/// after a restart of the server.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.75 + fastrand::f64() / 4.0)
}

/// Reports what is signalled until the table can no longer be read.
pub(super) async fn poll(store: &MySql, hints: &Hints) -> Result<()> {
    let mut listener = store.notifications.listener.subscribe();
    let now = store.read_signals(i64::MAX).await?;
    let mut begun = Instant::now();
    let mut seen = store.read_signals(now.clock).await?;
    hints.listening();
    let mut pause = FAST_INTERVAL;
    // Before this time, notifications cause no read.
    let mut ignore_until = Instant::now();
    loop {
        let usual = if listener.must_poll() { FAST_INTERVAL } else { INTERVAL };
        let mut read_at = Instant::now() + jittered(pause.max(usual));
        let mut is_notified = false;
        loop {
            tokio::select! {
                () = sleep_until(read_at) => {
                    let (due, now) = (store.read_due(&listener, begun), Instant::now());
                    if is_notified || due.is_some_and(|due| due <= now) {
                        break;
                    }
                    // In the meantime this store may begin to wait for something else.
                    read_at = due.unwrap_or_else(|| now + jittered(INTERVAL));
                }
                released = listener.notified() => {
                    is_notified = true;
                    let soon = match released {
                        Some(name) => {
                            hints.send(Hint::Name(name));
                            // The next holder may not announce its release.
                            Instant::now() + FAST_INTERVAL
                        }
                        None => ignore_until,
                    };
                    read_at = read_at.min(soon);
                }
            }
        }
        begun = Instant::now();
        let read = store.read_signals(seen.clock).await?;
        let rest = (begun.elapsed() * MAX_LOAD_FACTOR).max(MIN_REST);
        ignore_until = Instant::now() + rest.min(FAST_INTERVAL);
        pause = rest.min(MAX_INTERVAL);
        for (name, signal) in &read.signals {
            if seen.signals.get(name).is_some_and(|last| last.at == signal.at) {
                continue;
            }
            let name = std::str::from_utf8(name).ok();
            match name.and_then(|name| name.parse::<LockName>().ok()) {
                Some(name) if signal.has_queue => hints.send(store.queue_hint(name).await),
                // A waiter has asked since, and would get the same answer.
                Some(name) if listener.is_refused_by(&name, signal.token) => {}
                Some(name) => hints.send(Hint::Name(name)),
                None => hints.send(Hint::Anything),
            }
        }
        seen = read;
    }
}
