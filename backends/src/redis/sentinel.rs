//! The primary that sentinels name.
//!
//! All sentinels are asked at once. While the store is in use they are asked again every second,
//! and connections to a server that they no longer name are closed even if it still answers.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{Client, ConnectionInfo, FromRedisValue, Pipeline, RedisError, RedisResult, Value};
use futures_util::{StreamExt, stream::FuturesUnordered};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::address::Address;
use super::votes::{Vote, VoteHistory};
use super::{connect, error_codes};
use crate::common::timeout::CHECK_REACHABLE;
use crate::{Error, ErrorKind, Result};

/// The limit for a sentinel, and then for the server that it names. Both together are less than
/// the limit for connecting.
const STEP: Duration = Duration::from_secs(2);

/// Once most sentinels have answered, the others are waited for this long.
const SURVEY_GRACE: Duration = Duration::from_millis(250);

/// The sentinels are asked at this interval while the store is in use.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

const NAME_SENTINELS: &str =
    "write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE, with the sentinels' own ports";

pub(super) struct Sentinels {
    pub(super) sentinels: Vec<Sentinel>,
    pub(super) service: String,
    /// The settings for connections to its servers, apart from the address.
    pub(super) node: ConnectionInfo,
    /// All runtimes share this, so that none returns to a server that was replaced.
    history: Arc<Mutex<VoteHistory>>,
    monitor: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// One sentinel, with a connection that is kept between two requests.
pub(super) struct Sentinel {
    pub(super) client: Client,
    open: Mutex<Option<MultiplexedConnection>>,
}

/// A connection to the primary.
pub(super) struct SentinelPrimary {
    pub(super) client: Client,
    pub(super) connection: MultiplexedConnection,
    pub(super) address: Address,
}

/// The last step of an attempt to find the primary. The error of the last step is the most useful.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SurveyStep {
    Reached,
    Asked,
    Answered,
}

type SurveyFailure = (SurveyStep, Error);

impl Sentinels {
    pub(super) fn new(clients: Vec<Client>, service: String, node: ConnectionInfo) -> Self {
        let sentinel = |client| Sentinel { client, open: Mutex::default() };
        let sentinels = clients.into_iter().map(sentinel).collect();
        Self { sentinels, service, node, history: Arc::default(), monitor: Mutex::default() }
    }

    /// Returns the same sentinels with their own connections and task, for another runtime.
    pub(super) fn without_connections(&self) -> Self {
        let clients = self.sentinels.iter().map(|sentinel| sentinel.client.clone()).collect();
        let mut separate = Self::new(clients, self.service.clone(), self.node.clone());
        separate.history = Arc::clone(&self.history);
        separate
    }

    /// Connects to the primary, and starts asking the sentinels regularly.
    pub(super) async fn primary(self: &Arc<Self>) -> Result<SentinelPrimary> {
        self.start_monitor();
        let (votes, mut failed) = self.survey().await;
        let candidates = self.history().candidates(&votes, self.sentinels.len());
        for Vote { address, epoch } in candidates {
            let connected = match connect::client_at(&self.node, &address) {
                Ok(client) => match timeout(STEP, connect::primary(&client)).await {
                    Ok(connected) => connected.map(|connection| (client, connection)),
                    Err(_) => Err(silent("the primary named by the sentinels does not respond")),
                },
                Err(cause) => Err(error_codes::connecting(cause)),
            };
            match connected {
                Ok((client, connection)) => {
                    self.history().connected_to(Vote { address: address.clone(), epoch });
                    return Ok(SentinelPrimary { client, connection, address });
                }
                Err(error) => failed = more_specific(failed, (SurveyStep::Answered, error)),
            }
        }
        let nothing = || Error::invalid("the URL names no sentinel").with_fix(NAME_SENTINELS);
        Err(failed.map_or_else(nothing, |(_, error)| error))
    }

    /// Returns whether the sentinels name that server, as far as is known.
    pub(super) fn is_current(&self, address: &Address) -> bool {
        self.history().primary.as_ref().is_none_or(|primary| primary.address == *address)
    }

    /// Asks all sentinels, and waits for silent ones while too few have answered.
    async fn survey(&self) -> (Vec<Vote>, Option<SurveyFailure>) {
        let count = self.sentinels.len();
        let mut queries: FuturesUnordered<_> =
            self.sentinels.iter().map(|sentinel| sentinel.query(&self.service)).collect();
        let (mut votes, mut failed) = (Vec::new(), None);
        let mut end = Instant::now() + STEP;
        loop {
            tokio::select! {
                answer = queries.next() => match answer {
                    Some(Ok(vote)) => {
                        votes.push(vote);
                        if votes.len() * 2 > count {
                            end = end.min(Instant::now() + SURVEY_GRACE);
                        }
                    }
                    Some(Err(failure)) => failed = more_specific(failed, failure),
                    None => break,
                },
                () = sleep_until(end) => {
                    let silent = silent("no sentinel responds");
                    failed = more_specific(failed, (SurveyStep::Reached, silent));
                    break;
                }
            }
        }
        (votes, failed)
    }

    /// Starts the task that asks the sentinels, unless it is running. It ends when this value is
    /// dropped.
    pub(super) fn start_monitor(self: &Arc<Self>) {
        let mut running = self.monitor.lock();
        // The task also ends when its runtime is shut down.
        if running.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
            let task = tokio::spawn(monitor(Arc::downgrade(self)));
            *running = Some(AbortOnDropHandle::new(task));
        }
    }

    /// Evaluates the latest votes; `lower` counts how often they named another server with a lower
    /// epoch.
    fn record_votes(&self, votes: &[Vote], lower: &mut u32) {
        let changed = self.history().record_votes(votes, self.sentinels.len(), lower);
        if let Some((before, next)) =
            changed.filter(|(before, next)| before.address != next.address)
        {
            tracing::info!(
                from = %before.address,
                to = %next.address,
                "the sentinels name another primary"
            );
        }
    }

    fn history(&self) -> MutexGuard<'_, VoteHistory> {
        self.history.lock()
    }
}

async fn monitor(sentinels: Weak<Sentinels>) {
    let mut lower = 0;
    loop {
        // The jitter keeps the processes of an application from asking at the same time.
        sleep(INTERVAL.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        let Some(sentinels) = sentinels.upgrade() else { return };
        let (votes, _) = sentinels.survey().await;
        sentinels.record_votes(&votes, &mut lower);
    }
}

impl Sentinel {
    async fn query(&self, service: &str) -> std::result::Result<Vote, SurveyFailure> {
        let kept = self.open().take();
        let query = async {
            let mut connection = match kept {
                Some(kept) => kept,
                None => connect::plain(&self.client).await?,
            };
            let answer = match vote(&mut connection, service).await {
                Err(cause) if cause.is_io_error() || cause.is_unrecoverable_error() => {
                    connection = connect::plain(&self.client).await?;
                    vote(&mut connection, service).await
                }
                answer => answer,
            };
            *self.open() = Some(connection);
            answer
        };
        match timeout(STEP, query).await {
            Ok(Ok(Some(vote))) => Ok(vote),
            Ok(Ok(None)) => Err((SurveyStep::Asked, unknown())),
            Ok(Err(cause)) => {
                self.open().take();
                Err(refused(cause))
            }
            Err(_) => Err((SurveyStep::Reached, silent("no sentinel responds"))),
        }
    }

    fn open(&self) -> MutexGuard<'_, Option<MultiplexedConnection>> {
        self.open.lock()
    }
}

/// Returns the server that the sentinel names, and its epoch, or 0 if the user may not read that.
async fn vote(connection: &mut MultiplexedConnection, service: &str) -> RedisResult<Option<Vote>> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service);
    pipeline.cmd("SENTINEL").arg("MASTER").arg(service);
    let mut answers = connection.req_packed_commands(&pipeline, 0, 2).await?.into_iter();
    let named = answers.next().unwrap_or(Value::Nil).extract_error()?;
    let Some((host, port)) = Option::<(String, u16)>::from_redis_value(named)? else {
        return Ok(None);
    };
    let details = answers.next().unwrap_or(Value::Nil).extract_error();
    let details = details.and_then(|value| Ok(HashMap::<String, String>::from_redis_value(value)?));
    let epoch = details.ok().and_then(|details| details.get("config-epoch")?.parse().ok());
    Ok(Some(Vote { address: Address { host, port }, epoch: epoch.unwrap_or(0) }))
}

fn more_specific(failed: Option<SurveyFailure>, other: SurveyFailure) -> Option<SurveyFailure> {
    match failed {
        Some(failed) if failed.0 >= other.0 => Some(failed),
        _ => Some(other),
    }
}
fn silent(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message).with_fix(CHECK_REACHABLE)
}

fn unknown() -> Error {
    Error::new(ErrorKind::Unavailable, "the sentinels do not know this service name").with_fix(
        "check the name after the slash in the URL: SENTINEL MASTERS lists those they know",
    )
}

fn refused(cause: RedisError) -> (SurveyStep, Error) {
    let error = error_codes::connecting(cause);
    let cause = error_codes::cause_of(&error);
    if cause.as_deref().is_some_and(|cause| cause.contains("unknown command")) {
        let message = "the server is not a sentinel";
        let error = Error::new(ErrorKind::Unavailable, message).with_fix(NAME_SENTINELS);
        return (SurveyStep::Asked, error);
    }
    if error.kind() == ErrorKind::Denied {
        let error = Error::new(ErrorKind::Denied, "the sentinels refused authentication")
            .with_fix(
                "put their own user and password into the URL: \
                 ?sentinel_username=USER&sentinel_password=PASSWORD, or the password alone",
            )
            .with_source(error);
        return (SurveyStep::Asked, error);
    }
    (
        SurveyStep::Reached,
        Error::new(ErrorKind::Unavailable, "no sentinel is reachable")
            .with_fix(
                "are they up, reachable from here, and does the URL say whether they speak TLS?",
            )
            .with_source(error),
    )
}
