//! A call that waits for its answer on a connection that others use too.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::connection_state::{ConnectionState, OpenConnection};
use super::liveness;

/// If a call is dropped after this silence, later calls use another connection.
const DROPPED_CALL_SILENCE: Duration = Duration::from_millis(500);

/// A call that was sent. If no answer comes, it decides whether its connection is still used.
pub(super) struct InFlight<'a> {
    state: &'a ConnectionState,
    connection: &'a OpenConnection,
    since: Instant,
    ended: bool,
}

impl<'a> InFlight<'a> {
    /// Notes that a call is sent now.
    pub(super) fn new(state: &'a ConnectionState, connection: &'a OpenConnection) -> Self {
        Self { state, connection, since: Instant::now(), ended: false }
    }

    /// Waits for the answer until `end`, and returns `None` if there is none by then. While the
    /// connection is silent, so that it may be dead, later calls use another one.
    ///
    /// One timer serves both, since each timer of each call can wake a thread of the runtime.
    pub(super) async fn await_answer<T>(
        &self,
        end: Instant,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let mut answer = pin!(answer);
        let mut check = self.silent_at(liveness::MIN_SILENCE);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return Some(answer),
                () = sleep_until(check.min(end)) => {}
            }
            let now = Instant::now();
            if now >= end {
                return None;
            }
            check = self.silent_at(liveness::MIN_SILENCE);
            if check <= now {
                self.state.mark_silent(self.connection);
                // An answer to another call may end the silence, and another one may follow.
                check = now + liveness::MIN_SILENCE;
            }
        }
    }

    /// Notes that the answer came, and returns how long it took.
    pub(super) fn record_reply(mut self) -> Duration {
        self.ended = true;
        self.state.mark_answered(self.connection);
        self.since.elapsed()
    }

    /// Gives the connection to no further call. Calls that already wait on it keep it.
    pub(super) fn failed(mut self) {
        self.ended = true;
        self.state.discard(self.connection.generation);
    }

    /// Returns when the connection counts as silent if no answer to any call comes until then.
    fn silent_at(&self, shortest: Duration) -> Instant {
        let silent_since = self.since.max(self.connection.activity.last_answer());
        silent_since + liveness::silence_limit(shortest, self.state.latency())
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.ended && self.silent_at(DROPPED_CALL_SILENCE) <= Instant::now() {
            self.state.discard(self.connection.generation);
        }
    }
}
