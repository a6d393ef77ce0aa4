//! A connection to one member, used only by the runtime in which it was opened.
//!
//! The driver serves a connection by tasks of the runtime that opened it, so a call from another
//! runtime would wait while the threads of the first compute or block.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::{self, Handle};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::error_codes::RequestResult;

/// Returns the runtime of the caller, if there is one.
pub(super) fn current_runtime() -> Option<runtime::Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

/// One connection, which is opened by its first request.
pub(super) struct Connection {
    runtime: Option<runtime::Id>,
    client: OnceCell<Client>,
    state: Mutex<ConnectionState>,
}

/// A connection that never answered may take this long, which includes connecting and logging in.
const OPENING_LIMIT: Duration = Duration::from_secs(4);

/// A connection counts as silent after this time, however slow its replies were.
const MAX_SILENCE: Duration = Duration::from_secs(8);

struct ConnectionState {
    opened: Instant,
    /// The last time when a request was sent here.
    used: Instant,
    /// The last time when an answer came.
    answered: Option<Instant>,
    /// The time that replies take. It decreases slowly, since requests take different times.
    latency: Duration,
}

impl Connection {
    /// Creates a connection for the runtime of the caller.
    pub(super) fn new() -> Self {
        Self::with(current_runtime(), OnceCell::new())
    }

    /// Wraps the application's client, which serves all runtimes.
    pub(super) fn of_application(client: Client) -> Self {
        Self::with(None, OnceCell::new_with(Some(client)))
    }

    fn with(runtime: Option<runtime::Id>, client: OnceCell<Client>) -> Self {
        let opened = Instant::now();
        let state =
            ConnectionState { opened, used: opened, answered: None, latency: Duration::ZERO };
        Self { runtime, client, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock()
    }

    /// Returns the driver's client, and connects it first if necessary.
    pub(super) async fn client(
        &self,
        address: &str,
        options: Option<&ConnectOptions>,
    ) -> RequestResult<Client> {
        let connect = || Client::connect([address], options.cloned());
        self.client.get_or_try_init(connect).await.cloned()
    }

    pub(super) fn is_of(&self, runtime: Option<runtime::Id>) -> bool {
        self.runtime == runtime
    }

    /// Notes that a request is sent here.
    pub(super) fn used(&self) {
        self.state().used = Instant::now();
    }

    /// Returns whether no request was sent here for that long.
    pub(super) fn is_unused_for(&self, limit: Duration) -> bool {
        self.state().used.elapsed() >= limit
    }

    /// Notes that an answer came, and how long it took.
    pub(super) fn record_reply(&self, after: Duration) {
        let mut state = self.state();
        state.answered = Some(Instant::now());
        state.latency = after.max(state.latency - state.latency / 8);
    }

    /// Returns whether the latest reply came less than that long ago.
    pub(super) fn answered_within(&self, limit: Duration) -> bool {
        self.state().answered.is_some_and(|answered| answered.elapsed() < limit)
    }

    /// Returns whether no reply came for at least `silence_limit`, and for at least twice as long
    /// as replies take, although a request was sent at `since`.
    pub(super) fn is_silent(&self, since: Instant, silence_limit: Duration) -> bool {
        let state = self.state();
        let Some(answered) = state.answered else {
            return state.opened.elapsed() >= OPENING_LIMIT && since.elapsed() >= silence_limit;
        };
        let limit = silence_limit.max((state.latency * 2).min(MAX_SILENCE));
        answered.max(since).elapsed() >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_connection_is_not_silent() {
        let (connection, limit) = (Connection::new(), Duration::from_secs(1));
        let begun = Instant::now();
        tokio::time::advance(limit).await;
        assert!(!connection.is_silent(begun, limit), "it is being opened");
        tokio::time::advance(OPENING_LIMIT).await;
        assert!(connection.is_silent(begun, limit));
        assert!(!connection.answered_within(limit), "no answer came yet");
        connection.record_reply(limit);
        assert!(connection.answered_within(limit), "an answer came just now");
        assert!(!connection.is_silent(begun, limit), "an answer came since");
        let begun = Instant::now() + Duration::from_millis(1);
        tokio::time::advance(limit + Duration::from_millis(1)).await;
        assert!(!connection.is_silent(begun, limit), "the last answer took as long");
        tokio::time::advance(limit).await;
        assert!(connection.is_silent(begun, limit));
    }
}
