//! One connection to one server that the calls of a runtime share, reopened when it breaks.
//!
//! A request that was not sent had no effect, so a failure to connect is distinguished from a
//! failure after sending. The driver's own connection manager does not do that. A request is sent
//! again only if the server does not have its script, or if the second run changes nothing.
//!
//! A connection can die unnoticed. An idle connection is tested before it is used, and a connection
//! that is silent while calls wait on it is replaced for later calls.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, RedisError, RedisResult, Value};
use futures_util::future::FutureExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::call::Call;
use super::connection_state::{ConnectFuture, ConnectionState, OpenConnection};
use super::error_codes;
use super::in_flight::InFlight;
use super::liveness::{self, Activity};
use super::pipeline::{Replies, exchange, run};
use super::request::Request;
use super::topology::ServerLocator;
use crate::common::timeout::{CALL_LIMIT, timed_out, unanswered};
use crate::{Error, ErrorKind, Result};

/// A connection that was idle for this long is tested before a request that must not be sent twice.
const TEST_AFTER: Duration = Duration::from_secs(1);

/// A request is sent again only within this time; after a longer wait it fails.
const REPEAT_LIMIT: Duration = Duration::from_secs(5);

/// A connection that the calls of a runtime share.
pub(super) struct SharedConnection {
    server: ServerLocator,
    /// Connecting may take this long.
    connect_timeout: Duration,
    state: ConnectionState,
    /// This is true if all keys of a command must have the same slot, as on a node of a cluster. It is
    /// known when the server first refuses a command whose keys have different slots.
    one_slot: AtomicBool,
}

impl fmt::Debug for SharedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedConnection").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The reason why a batch has no answers.
#[derive(Clone, Debug)]
pub(super) enum BatchFailure {
    /// There is no connection: nothing was sent.
    Connecting(Error),
    /// The connection failed after the batch was sent.
    Broken(RedisError),
    /// No answer came within this time.
    Unanswered(Duration),
}

impl From<BatchFailure> for Error {
    fn from(failed: BatchFailure) -> Self {
        match failed {
            BatchFailure::Connecting(error) => error,
            BatchFailure::Broken(cause) => error_codes::calling(cause),
            BatchFailure::Unanswered(limit) => unanswered(ErrorKind::OutcomeUnknown, limit),
        }
    }
}

impl SharedConnection {
    pub(super) fn new(server: ServerLocator, connect_timeout: Duration, one_slot: bool) -> Self {
        Self {
            server,
            connect_timeout,
            state: ConnectionState::default(),
            one_slot: AtomicBool::new(one_slot),
        }
    }

    /// Returns the duration of the latest batch.
    pub(super) fn latency(&self) -> Duration {
        self.state.latency()
    }

    /// Sends the requests, followed by `then`, in one round trip.
    pub(super) async fn send(
        &self,
        requests: &[Request],
        then: Option<&Cmd>,
    ) -> std::result::Result<Replies, BatchFailure> {
        let begun = Instant::now();
        let harmless = requests.iter().all(Request::is_repeatable);
        let first = self
            .send_with(!harmless, begun + CALL_LIMIT, async |connection| {
                run(connection, requests, then, &self.one_slot).await
            })
            .await;
        // The connection may have been idle, and dead for a long time.
        let again = harmless && begun.elapsed() < REPEAT_LIMIT;
        if !matches!(first, Err(BatchFailure::Broken(_))) || !again {
            return first;
        }
        let second = self.send_with(false, begun + CALL_LIMIT, async |connection| {
            run(connection, requests, then, &self.one_slot).await
        });
        match second.await {
            Err(BatchFailure::Connecting(_)) => first,
            second => second,
        }
    }

    /// Sends one request, preceded by `ASKING`, to the server to which a slot of a cluster is
    /// moving. The server accepts the request only right after that command.
    pub(super) async fn send_asking(
        &self,
        request: &Request,
    ) -> std::result::Result<RedisResult<Value>, BatchFailure> {
        let end = Instant::now() + CALL_LIMIT;
        let call = Call::for_one(request);
        let replies = self.send_with(true, end, async |connection| {
            let asking = || ::redis::cmd("ASKING");
            let mut replies = exchange(connection, [asking(), call.command()]).await?;
            if matches!(&replies[1], Err(cause) if error_codes::is_no_script(cause)) {
                replies = exchange(connection, [asking(), call.with_source().command()]).await?;
            }
            let reply = replies.pop().ok_or_else(error_codes::missing_replies)?;
            Ok((call.replies(reply).map(|(_, reply)| reply).collect(), None))
        });
        let reply = replies.await?.0.pop();
        reply.ok_or_else(|| BatchFailure::Broken(error_codes::missing_replies()))
    }

    /// Runs one request.
    pub(super) async fn call(&self, request: Request) -> Result<Value> {
        let (mut replies, _) = self.send(&[request], None).await?;
        let reply = replies.pop().ok_or_else(error_codes::missing_replies).and_then(|reply| reply);
        reply.map_err(error_codes::calling)
    }

    async fn send_with(
        &self,
        test_idle: bool,
        end: Instant,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<Replies>,
    ) -> std::result::Result<Replies, BatchFailure> {
        let live = match timeout_at(end, self.usable(test_idle)).await {
            Ok(live) => live.map_err(BatchFailure::Connecting)?,
            Err(_) => {
                let error = timed_out(ErrorKind::Unavailable);
                return Err(BatchFailure::Connecting(error));
            }
        };
        let mut connection = live.opened.connection.clone();
        let call = InFlight::new(&self.state, &live);
        let result = call.await_answer(end, work(&mut connection)).await;
        let is_bad = |reply: &RedisResult<Value>| {
            reply.as_ref().err().is_some_and(error_codes::is_of_connection)
        };
        match result {
            Some(Ok((replies, last))) => {
                self.state.set_latency(call.record_reply());
                if replies.iter().chain(&last).any(is_bad) {
                    self.state.discard(live.generation);
                }
                Ok((replies, last))
            }
            Some(Err(cause)) => {
                if error_codes::is_of_connection(&cause) {
                    call.failed();
                } else {
                    _ = call.record_reply();
                }
                Err(BatchFailure::Broken(cause))
            }
            None => {
                call.failed();
                Err(BatchFailure::Unanswered(CALL_LIMIT))
            }
        }
    }

    /// Returns a connection, which was tested if it was idle.
    async fn usable(&self, test_idle: bool) -> Result<OpenConnection> {
        loop {
            let live = self.connected().await?;
            if !test_idle || live.activity.last_answer().elapsed() < TEST_AFTER {
                return Ok(live);
            }
            let limit = liveness::silence_limit(liveness::MIN_SILENCE, self.state.latency());
            let mut connection = live.opened.connection.clone();
            // It counts as a call, so that the connection is discarded if the caller is dropped.
            let call = InFlight::new(&self.state, &live);
            let pinged = timeout(limit, exchange(&mut connection, [::redis::cmd("PING")])).await;
            if matches!(pinged, Ok(Ok(_))) {
                _ = call.record_reply();
                return Ok(live);
            }
            call.failed();
        }
    }

    async fn connected(&self) -> Result<OpenConnection> {
        self.server.monitor_sentinels();
        loop {
            let open = |generation| open(self.server.clone(), self.connect_timeout, generation);
            let (generation, opening) = self.state.opening(open);
            match opening.await {
                // The sentinels have named another server since this connection was opened.
                Ok(live) if !self.server.is_current(live.opened.address.as_ref()) => {
                    self.state.discard(generation);
                }
                Ok(live) => return Ok(live),
                Err(error) => {
                    self.state.discard(generation);
                    return Err(error);
                }
            }
        }
    }
}

/// Opens a connection in a separate task, so that it is not restarted by each caller that has
/// little time.
fn open(server: ServerLocator, connect_timeout: Duration, generation: u64) -> ConnectFuture {
    let task = tokio::spawn(async move {
        let connected = timeout(connect_timeout, server.connect()).await;
        let opened = connected
            .unwrap_or_else(|_| Err(unanswered(ErrorKind::Unavailable, connect_timeout)))?;
        Ok(OpenConnection { opened, generation, activity: Arc::new(Activity::new()) })
    });
    let opened = task.map(|joined| {
        joined.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Unavailable, "the connection attempt was cancelled"))
        })
    });
    opened.boxed().shared()
}
