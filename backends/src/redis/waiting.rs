//! Connections for writes that wait for replicas.
//!
//! A server answers nothing else on a connection that waits, so each write waits on a connection of
//! its own, up to a limit. Renewals and disables have separate connections, so that they do not wait
//! behind grants whose replicas hang.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::{RedisResult, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::error;
use super::exchange::Replies;
use super::link::Link;
use super::place::Server;
use super::request::Request;
use super::servers;
use crate::{Error, ErrorKind, Result};

/// At most this many grants, or renewals, wait at the same time.
const CONNECTIONS: usize = 8;

/// At most this many disables wait at the same time.
const DISABLES: usize = 2;

/// A write waits this long for those before it, less than a call may take: what waited in vain was
/// not sent.
const QUEUE_LIMIT: Duration = Duration::from_secs(5);

/// A connection that was idle for so long is closed.
const KEEP: Duration = Duration::from_secs(60);

/// The replicas for which a write waits.
#[derive(Debug)]
pub(super) struct Replicas {
    wanted: u32,
    grants: Waiting,
    disables: Waiting,
    renewals: Waiting,
}

/// The kind of a write, each of which has connections of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Write {
    Grant,
    Disable,
}

/// The result of writes that waited.
#[derive(Debug)]
pub(super) struct Waited {
    pub(super) answers: Vec<Result<Value>>,
    /// Why too few replicas have the writes; `None` if enough have them.
    pub(super) missing: Option<Error>,
}

impl Replicas {
    pub(super) fn new(wanted: u32, server: &Server) -> Self {
        Self {
            wanted,
            grants: Waiting::new(server, CONNECTIONS),
            disables: Waiting::new(server, DISABLES),
            renewals: Waiting::new(server, CONNECTIONS),
        }
    }

    /// Runs a request, and waits for the replicas in the same round trip.
    pub(super) async fn write(
        &self,
        kind: Write,
        request: Request,
        limit: Duration,
    ) -> Result<(Value, Option<Error>)> {
        let waiting = match kind {
            Write::Grant => &self.grants,
            Write::Disable => &self.disables,
        };
        let mut waited = self.send(waiting, &[request], limit).await?;
        let answer = waited.answers.pop().unwrap_or_else(|| Err(super::record::strange()))?;
        Ok((answer, waited.missing))
    }

    /// Runs renewals, and waits for the replicas in the same round trip.
    pub(super) async fn renew(&self, requests: &[Request], limit: Duration) -> Result<Waited> {
        self.send(&self.renewals, requests, limit).await
    }

    async fn send(
        &self,
        waiting: &Waiting,
        requests: &[Request],
        limit: Duration,
    ) -> Result<Waited> {
        // The server takes 0 for no limit.
        let limit = limit.as_millis().max(1).to_string();
        let mut wait = ::redis::cmd("WAIT");
        wait.arg(self.wanted).arg(limit);
        let (replies, reached) = waiting.send(requests, &wait).await?;
        let answers = replies.into_iter().map(|reply| reply.map_err(error::calling)).collect();
        Ok(Waited { answers, missing: self.missing(reached) })
    }

    fn missing(&self, reached: Option<RedisResult<Value>>) -> Option<Error> {
        let (reached, cause) = match reached {
            Some(Ok(Value::Int(reached))) => (reached, None),
            Some(Ok(_)) | None => (0, None),
            // This happens, for example, if the primary became a replica in between.
            Some(Err(cause)) => (0, Some(cause)),
        };
        let wanted = i64::from(self.wanted);
        if reached >= wanted {
            return None;
        }
        let error = Error::new(
            ErrorKind::Unavailable,
            format!("{reached} of the {wanted} replicas that wait_replicas asks for had the write in time"),
        )
        .with_fix("are they up and connected (INFO replication), and may this user WAIT? Or ask for fewer");
        Some(match cause {
            Some(cause) => error.with_source(cause),
            None => error,
        })
    }
}

#[derive(Debug)]
struct Waiting {
    server: Server,
    most: usize,
    permits: Semaphore,
    /// The connections that are not in use, and since when; the one used last comes last.
    idle: Mutex<Vec<(Link, Instant)>>,
}

impl Waiting {
    fn new(server: &Server, most: usize) -> Self {
        let permits = Semaphore::new(most);
        Self { server: server.clone(), most, permits, idle: Mutex::default() }
    }

    /// A connection whose call is dropped is closed with it: it may wait for a while.
    async fn send(&self, requests: &[Request], wait: &::redis::Cmd) -> Result<Replies> {
        let Ok(Ok(_permit)) = timeout(QUEUE_LIMIT, self.permits.acquire()).await else {
            return Err(self.not_sent());
        };
        let idle = self.take_idle();
        let link = idle.unwrap_or_else(|| servers::one(&self.server));
        let replies = link.send(requests, Some(wait)).await;
        self.idle().push((link, Instant::now()));
        Ok(replies?)
    }

    /// Takes the connection that was used last, and closes those that were idle for long.
    fn take_idle(&self) -> Option<Link> {
        let mut idle = self.idle();
        let taken = idle.pop();
        let old: Vec<_> = idle.extract_if(.., |(_, since)| since.elapsed() >= KEEP).collect();
        drop(idle);
        drop(old);
        taken.map(|(link, _)| link)
    }

    fn not_sent(&self) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "{} earlier writes still wait for replicas; after {QUEUE_LIMIT:?} this one was \
                 given up, and it was not sent",
                self.most
            ),
        )
        .with_fix("are the replicas up and connected? (INFO replication)")
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Link, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
