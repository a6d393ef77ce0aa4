//! Connections for writes that wait for replicas.
//!
//! A server answers nothing else on a connection that waits, so each write waits on a connection of
//! its own, up to a limit. Renewals have separate connections, so that they do not wait behind
//! grants whose replicas hang.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::redis::{RedisResult, Value};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error;
use super::link::Link;
use super::place::Server;
use super::request::Request;
use super::servers;
use crate::common::limit::{CALL_LIMIT, unanswered};
use crate::{Error, ErrorKind, Result};

/// At most this many writes of a kind wait at the same time.
const CONNECTIONS: usize = 8;

/// The replicas for which a write waits.
#[derive(Debug)]
pub(super) struct Replicas {
    wanted: u32,
    /// The connections for grants and disables.
    writes: Waiting,
    renewals: Waiting,
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
        Self { wanted, writes: Waiting::new(server), renewals: Waiting::new(server) }
    }

    /// Runs a request, and waits for the replicas in the same round trip.
    pub(super) async fn write(
        &self,
        request: Request,
        limit: Duration,
    ) -> Result<(Value, Option<Error>)> {
        let mut waited = self.send(&self.writes, &[request], limit).await?;
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
    permits: Semaphore,
    idle: Mutex<Vec<Link>>,
}

impl Waiting {
    fn new(server: &Server) -> Self {
        let permits = Semaphore::new(CONNECTIONS);
        Self { server: server.clone(), permits, idle: Mutex::default() }
    }

    /// A connection whose call is dropped is closed with it: it may wait for a while.
    async fn send(
        &self,
        requests: &[Request],
        wait: &::redis::Cmd,
    ) -> Result<super::link::Replies> {
        // What waited in vain for a connection was never sent.
        let Ok(Ok(_permit)) = timeout(CALL_LIMIT / 2, self.permits.acquire()).await else {
            return Err(unanswered(ErrorKind::Unavailable));
        };
        let idle = self.idle().pop();
        let link = idle.unwrap_or_else(|| servers::one(&self.server));
        let replies = link.send(requests, Some(wait)).await;
        self.idle().push(link);
        Ok(replies?)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
