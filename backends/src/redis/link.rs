//! One connection to one server that all calls share, reopened when it breaks.
//!
//! Connecting and asking are told apart, which the driver's own manager does not do: what failed
//! before it was sent did not happen. Nothing is sent twice, except a script that the server said
//! it does not have.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use futures_util::future::{BoxFuture, FutureExt, Shared};
use tokio::time::{Instant, timeout, timeout_at};

use super::error;
use super::place::{Opened, Server};
use super::request::Request;
use crate::common::limit::{CALL_LIMIT, unanswered};
use crate::{Error, ErrorKind, Result};

/// A call that was dropped after it had waited so long leaves its connection, which may be dead
/// without anybody having said so, to those that wait on it already.
const DOUBT: Duration = Duration::from_millis(500);

type Opening = Shared<BoxFuture<'static, Result<Opened>>>;

/// The answers to a batch, and to the command that was sent after it.
pub(super) type Replies = (Vec<RedisResult<Value>>, Option<RedisResult<Value>>);

pub(super) struct Link {
    server: Server,
    /// Connecting may take this long.
    patience: Duration,
    current: Mutex<(u64, Option<Opening>)>,
    /// The duration of the latest batch, in microseconds.
    latency: AtomicU64,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The reason why a batch has no answers.
#[derive(Clone, Debug)]
pub(super) enum Failed {
    /// There is no connection: nothing was sent.
    Connecting(Error),
    /// The connection failed after the batch was sent.
    Broken(RedisError),
    /// No answer came within [`CALL_LIMIT`].
    Unanswered,
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Connecting(error) => error,
            Failed::Broken(cause) => error::calling(cause),
            Failed::Unanswered => unanswered(ErrorKind::OutcomeUnknown),
        }
    }
}

impl Link {
    pub(super) fn new(server: Server, patience: Duration) -> Self {
        Self { server, patience, current: Mutex::new((0, None)), latency: AtomicU64::new(0) }
    }

    /// Returns the duration of the latest batch.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency.load(Ordering::Relaxed))
    }

    /// Sends the requests, followed by `then`, in one round trip.
    pub(super) async fn send(
        &self,
        requests: &[Request],
        then: Option<&Cmd>,
    ) -> std::result::Result<Replies, Failed> {
        let begun = Instant::now();
        let replies = self.asking(async |connection| {
            let brief = requests.iter().map(Request::brief).chain(then.cloned());
            let mut replies = exchange(connection, brief).await?;
            let mut last = then.and_then(|_| replies.pop());
            let missing: Vec<_> = (0..replies.len())
                .filter(|&at| matches!(&replies[at], Err(cause) if error::is_no_script(cause)))
                .collect();
            if !missing.is_empty() {
                let whole = missing.iter().map(|&at| requests[at].whole()).chain(then.cloned());
                let mut again = exchange(connection, whole).await?;
                last = then.and_then(|_| again.pop());
                for (at, reply) in missing.into_iter().zip(again) {
                    replies[at] = reply;
                }
            }
            Ok((replies, last))
        });
        let replies = replies.await?;
        let took = begun.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        self.latency.store(took, Ordering::Relaxed);
        Ok(replies)
    }

    /// Sends one request, preceded by `ASKING`, to the server to which a slot of a cluster is
    /// moving. The server accepts the request only right after that command.
    pub(super) async fn send_asking(
        &self,
        request: &Request,
    ) -> std::result::Result<RedisResult<Value>, Failed> {
        let replies = self.asking(async |connection| {
            let asking = || ::redis::cmd("ASKING");
            let mut replies = exchange(connection, [asking(), request.brief()]).await?;
            if matches!(&replies[1], Err(cause) if error::is_no_script(cause)) {
                replies = exchange(connection, [asking(), request.whole()]).await?;
            }
            let reply = replies.pop().ok_or_else(missing)?;
            Ok((vec![reply], None))
        });
        replies.await?.0.pop().ok_or_else(|| Failed::Broken(missing()))
    }

    /// Runs one request.
    pub(super) async fn call(&self, request: Request) -> Result<Value> {
        let (mut replies, _) = self.send(&[request], None).await?;
        let reply = replies.pop().ok_or_else(missing).and_then(|reply| reply);
        reply.map_err(error::calling)
    }

    async fn asking(
        &self,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<Replies>,
    ) -> std::result::Result<Replies, Failed> {
        let end = Instant::now() + CALL_LIMIT;
        let (generation, mut connection) = match timeout_at(end, self.connected()).await {
            Ok(connected) => connected.map_err(Failed::Connecting)?,
            Err(_) => return Err(Failed::Connecting(unanswered(ErrorKind::Unavailable))),
        };
        let doubt = Doubt { link: self, generation, since: Instant::now(), answered: false };
        let result = timeout_at(end, work(&mut connection)).await;
        let is_bad =
            |reply: &RedisResult<Value>| reply.as_ref().err().is_some_and(error::is_of_connection);
        doubt.resolve(match &result {
            Ok(Ok((replies, last))) => !replies.iter().chain(last).any(is_bad),
            Ok(Err(cause)) => !error::is_of_connection(cause),
            Err(_) => false,
        });
        match result {
            Ok(result) => result.map_err(Failed::Broken),
            Err(_) => Err(Failed::Unanswered),
        }
    }

    async fn connected(&self) -> Result<(u64, MultiplexedConnection)> {
        loop {
            let (generation, opening) = {
                let mut current = self.lock();
                let opening =
                    current.1.take().unwrap_or_else(|| open(self.server.clone(), self.patience));
                current.1 = Some(opening.clone());
                (current.0, opening)
            };
            match opening.await {
                // The sentinels have named another server since this connection was opened.
                Ok(opened) if !self.server.is_current(opened.address.as_ref()) => {
                    self.discard(generation);
                }
                Ok(opened) => return Ok((generation, opened.connection)),
                Err(error) => {
                    self.discard(generation);
                    return Err(error);
                }
            }
        }
    }

    fn discard(&self, generation: u64) {
        let mut current = self.lock();
        if current.0 == generation {
            *current = (generation + 1, None);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (u64, Option<Opening>)> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn exchange(
    connection: &mut MultiplexedConnection,
    commands: impl IntoIterator<Item = Cmd>,
) -> RedisResult<Vec<RedisResult<Value>>> {
    let mut pipeline = Pipeline::new();
    let mut count = 0;
    for command in commands {
        pipeline.add_command(command);
        count += 1;
    }
    let values = connection.req_packed_commands(&pipeline, 0, count).await?;
    if values.len() != count {
        return Err(missing());
    }
    Ok(values.into_iter().map(Value::extract_error).collect())
}

fn missing() -> RedisError {
    RedisError::from((::redis::ErrorKind::Parse, "answers are missing"))
}

/// Opens in a task of its own, so that callers with little time do not start it over and over.
fn open(server: Server, patience: Duration) -> Opening {
    let task = tokio::spawn(async move {
        match timeout(patience, server.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("the server did not answer within {patience:?}"),
            )
            .with_fix("is it up, and reachable from here?")),
        }
    });
    let opened = task.map(|joined| {
        joined.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "connecting was stopped")))
    });
    opened.boxed().shared()
}

/// What becomes of the connection when a call on it ends, or is dropped.
struct Doubt<'a> {
    link: &'a Link,
    generation: u64,
    since: Instant,
    answered: bool,
}

impl Doubt<'_> {
    fn resolve(mut self, good: bool) {
        self.answered = true;
        if !good {
            self.link.discard(self.generation);
        }
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.answered && self.since.elapsed() > DOUBT {
            self.link.discard(self.generation);
        }
    }
}
