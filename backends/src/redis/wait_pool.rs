//! Connections for writes that wait for replicas.
//!
//! A server answers nothing else on a connection that waits, so each write waits on a separate
//! connection, up to a limit. Renewals and disables have their own connections, so that they do not
//! wait behind grants whose replicas hang.

use std::time::Duration;

use ::redis::{RedisResult, Value};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::error_codes;
use super::pipeline::Replies;
use super::request::Request;
use super::servers;
use super::shared_connection::SharedConnection;
use super::topology::ServerLocator;
use crate::{Error, ErrorKind, ReleaseOutcome, Result};

/// A grant or a disable waits this long for the replicas that the URL requires; a renewal waits at
/// most this long.
pub(super) const REPLICA_TIMEOUT: Duration = Duration::from_secs(1);

/// At most this many grants, or renewals, wait at the same time.
const MAX_GRANT_WAITS: usize = 8;

/// At most this many disables wait at the same time.
const MAX_DISABLE_WAITS: usize = 2;

/// A write waits this long for earlier ones. This is less than a call may take, so that a write
/// which still waits then was certainly not sent.
const QUEUE_LIMIT: Duration = Duration::from_secs(5);

/// A connection that was idle for this long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The replicas for which a write waits.
#[derive(Debug)]
pub(super) struct ReplicaWaits {
    wanted: u32,
    grants: WaitPool,
    disables: WaitPool,
    renewals: WaitPool,
}

/// The kind of a write. Each kind has separate connections.
#[derive(Clone, Copy, Debug)]
pub(super) enum WriteKind {
    Grant,
    Disable,
}

/// The result of writes that waited.
#[derive(Debug)]
pub(super) struct WaitReply {
    pub(super) answers: Vec<Result<Value>>,
    /// The error if too few replicas confirmed the writes.
    pub(super) missing: Option<Error>,
}

impl ReplicaWaits {
    pub(super) fn new(wanted: u32, server: &ServerLocator) -> Self {
        Self {
            wanted,
            grants: WaitPool::new(server, MAX_GRANT_WAITS),
            disables: WaitPool::new(server, MAX_DISABLE_WAITS),
            renewals: WaitPool::new(server, MAX_GRANT_WAITS),
        }
    }

    /// Runs a request, and waits for the replicas in the same round trip.
    pub(super) async fn write(
        &self,
        kind: WriteKind,
        request: Request,
    ) -> Result<(Value, Option<Error>)> {
        let pool = match kind {
            WriteKind::Grant => &self.grants,
            WriteKind::Disable => &self.disables,
        };
        let mut reply = self.send(pool, &[request], REPLICA_TIMEOUT).await?;
        let answer =
            reply.answers.pop().unwrap_or_else(|| Err(super::record::unexpected_reply()))?;
        Ok((answer, reply.missing))
    }

    /// Runs renewals, and waits for the replicas in the same round trip.
    pub(super) async fn renew(&self, requests: &[Request], limit: Duration) -> Result<WaitReply> {
        self.send(&self.renewals, requests, limit).await
    }

    async fn send(
        &self,
        pool: &WaitPool,
        requests: &[Request],
        limit: Duration,
    ) -> Result<WaitReply> {
        // The server takes 0 for no limit.
        let limit = limit.as_millis().max(1).to_string();
        let mut wait = ::redis::cmd("WAIT");
        wait.arg(self.wanted).arg(limit);
        let (replies, reached) = pool.send(requests, &wait).await?;
        let answers =
            replies.into_iter().map(|reply| reply.map_err(error_codes::calling)).collect();
        Ok(WaitReply { answers, missing: self.missing_replicas(reached) })
    }

    fn missing_replicas(&self, reached: Option<RedisResult<Value>>) -> Option<Error> {
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
            format!("{reached} of {wanted} replicas (wait_replicas) confirmed the write in time"),
        )
        .with_fix(
            "are they up and connected (INFO replication), and may this user run WAIT? If there \
            are fewer, lower wait_replicas",
        );
        Some(match cause {
            Some(cause) => error.with_source(cause),
            None => error,
        })
    }
}

/// Returns the error of a grant or an entry that too few replicas confirmed, and that was ended.
pub(super) fn unreplicated(missing: Error, ended: Result<ReleaseOutcome>) -> Error {
    match ended {
        Ok(_) => missing,
        Err(cause) => Error::new(
            ErrorKind::OutcomeUnknown,
            "too few replicas confirmed the grant, and releasing it failed",
        )
        .with_source(cause),
    }
}

/// The connections for one kind of write.
#[derive(Debug)]
struct WaitPool {
    server: ServerLocator,
    max: usize,
    permits: Semaphore,
    /// The connections that are not in use, and since when; the one used last comes last.
    idle: Mutex<Vec<(SharedConnection, Instant)>>,
}

impl WaitPool {
    fn new(server: &ServerLocator, max: usize) -> Self {
        let permits = Semaphore::new(max);
        Self { server: server.clone(), max, permits, idle: Mutex::default() }
    }

    /// Sends requests on a connection. If the call is dropped, the connection is closed with it,
    /// since it may wait for a while.
    async fn send(&self, requests: &[Request], wait: &::redis::Cmd) -> Result<Replies> {
        let Ok(Ok(_permit)) = timeout(QUEUE_LIMIT, self.permits.acquire()).await else {
            return Err(self.not_sent());
        };
        let idle = self.pop_idle();
        let connection = idle.unwrap_or_else(|| servers::one(&self.server));
        let replies = connection.send(requests, Some(wait)).await;
        self.idle().push((connection, Instant::now()));
        Ok(replies?)
    }

    /// Takes the connection that was used last, and closes those that were idle for long.
    fn pop_idle(&self) -> Option<SharedConnection> {
        let mut idle = self.idle();
        let taken = idle.pop();
        let old: Vec<_> =
            idle.extract_if(.., |(_, since)| since.elapsed() >= IDLE_TIMEOUT).collect();
        drop(idle);
        drop(old);
        taken.map(|(connection, _)| connection)
    }

    fn not_sent(&self) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "{} earlier writes are waiting for replicas; not sent within {QUEUE_LIMIT:?}",
                self.max
            ),
        )
        .with_fix("are the replicas up and connected? (INFO replication)")
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(SharedConnection, Instant)>> {
        self.idle.lock()
    }
}
