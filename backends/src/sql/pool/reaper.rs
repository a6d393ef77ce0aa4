//! Closes idle connections and replaces old ones.

use std::sync::Weak;
use std::time::Duration;

use sqlx::Connection;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::idle_connections::{IdleConnection, Inner, OpenConnection};
use super::server::Server;
use crate::{Clock, SystemClock};

/// The connection that was used last is closed when it has been idle for this long. A candidate
/// makes its calls about once per ttl, and must not connect for each of them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A spare connection is closed when it has been idle for this long. A connection is spare if
/// another one was used later or is in use, or if its calls use an idle connection for heartbeats.
const SPARE_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// An orderly close may take this long.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Closes idle connections, until there are none.
pub(super) async fn run<DB: Server>(owner: Weak<Inner<DB>>) {
    let Some(mut closed) = owner.upgrade().map(|owner| owner.pool.close_event()) else { return };
    loop {
        let Some(inner) = owner.upgrade() else { return };
        let (mut unused, next) = inner.unused();
        unused.extend(inner.replace_old().await);
        drop(inner);
        close(unused).await;
        let Some(next) = next else { return };
        tokio::select! {
            () = sleep(next) => {}
            () = &mut closed => break,
        }
    }
    let Some(inner) = owner.upgrade() else { return };
    let idle = {
        let mut state = inner.state();
        state.reaper = None;
        std::mem::take(&mut state.idle)
    };
    close(idle.into_iter().map(|idle| idle.live).collect()).await;
}

impl<DB: Server> Inner<DB> {
    /// Takes out the connections that were idle for too long, and returns when the next one will
    /// be. Ends the task if no connection is idle.
    fn unused(&self) -> (Vec<OpenConnection<DB>>, Option<Duration>) {
        let now = SystemClock.now();
        let mut state = self.state();
        let mut later = state.idle.len() + state.checked_out.len();
        let mut next = None;
        let unused = state.idle.extract_if(.., |idle| {
            later -= 1;
            let is_spare = later > 0 || self.has_preferred_idle(idle.live.runtime);
            let keep = if is_spare { SPARE_IDLE_TIMEOUT } else { IDLE_TIMEOUT };
            let left = keep.saturating_sub(now.saturating_since(idle.since));
            if !left.is_zero() {
                // The connection may become spare in the meantime.
                let check = left.min(SPARE_IDLE_TIMEOUT);
                next = Some(next.map_or(check, |next: Duration| next.min(check)));
            }
            left.is_zero()
        });
        let unused = unused.map(|idle| idle.live).collect();
        if next.is_none() {
            state.reaper = None;
        }
        (unused, next)
    }

    /// Opens a connection in place of an old one of this runtime, and returns the old one. A
    /// connection that works is kept until there is another.
    async fn replace_old(&self) -> Option<OpenConnection<DB>> {
        let (runtime, now) = (Handle::current().id(), SystemClock.now());
        let is_old =
            |idle: &IdleConnection<DB>| idle.live.runtime == runtime && idle.live.replace_at <= now;
        if !self.state().idle.iter().any(is_old) {
            return None;
        }
        match self.open(false).await {
            Ok(new) => {
                let mut state = self.state();
                let old = state.idle.iter_mut().find(|idle| is_old(idle))?;
                Some(std::mem::replace(&mut old.live, new))
            }
            Err(error) => {
                tracing::debug!(%error, "cannot replace an old connection");
                None
            }
        }
    }
}

/// Closes connections in an orderly way, except those of other runtimes, where that could hang.
async fn close<DB: Server>(connections: Vec<OpenConnection<DB>>) {
    let runtime = Handle::current().id();
    for live in connections {
        if live.runtime == runtime {
            _ = timeout(CLOSE_LIMIT, live.connection.close()).await;
        }
    }
}
