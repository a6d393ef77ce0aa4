//! Heartbeats use the application's pool if a connection of the store's own does not serve.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::{Clock, Moment, SystemClock};

/// Heartbeats try a connection of the store's own again after this long, since the reason may have
/// passed, as that of a missing table during a migration does.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Remembers that heartbeats have to use the application's pool, which prepares its sessions.
#[derive(Default)]
pub(super) struct PoolFallback {
    state: Mutex<FallbackState>,
}

#[derive(Default)]
struct FallbackState {
    until: Option<Moment>,
    warned: bool,
}

impl PoolFallback {
    fn state(&self) -> MutexGuard<'_, FallbackState> {
        self.state.lock()
    }

    pub(super) fn is_on(&self) -> bool {
        self.state().until.is_some_and(|until| SystemClock.now() < until)
    }

    /// Notes that a heartbeat succeeded on the pool after it failed with that error on a connection
    /// of the store's own.
    pub(super) fn record_success(&self, error: &sqlx::Error) {
        let warned = {
            let mut state = self.state();
            state.until = Some(SystemClock.now() + RETRY_AFTER);
            std::mem::replace(&mut state.warned, true)
        };
        if !warned {
            tracing::warn!(
                %error,
                "heartbeats use the application's pool: a separate connection with its options \
                 lacks access to the lock table"
            );
        }
    }
}
