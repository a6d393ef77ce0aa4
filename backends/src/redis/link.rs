//! One connection that all calls share, made anew when it breaks.
//!
//! Connecting and asking are told apart, which the driver's own manager does not do: what failed
//! before it was sent did not happen. Nothing is sent twice, except a script that the server said
//! it does not have.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use ::redis::{Cmd, RedisResult, Value};
use futures_util::future::{BoxFuture, FutureExt, Shared};
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::Connection;
use super::error;
use super::place::Place;
use super::record::strange;
use super::scripts::Script;
use crate::common::limit::{CALL_LIMIT, unanswered};
use crate::{Error, ErrorKind, Result};

/// A call that was dropped after it had waited so long leaves its connection, which may be dead
/// without anybody having said so, to those that wait on it already.
const DOUBT: Duration = Duration::from_millis(500);

/// A slot of the primary that is meant; none where there is one server.
pub(super) type Node = Option<u16>;

type Opening = Shared<BoxFuture<'static, Result<Connection>>>;

pub(super) struct Link {
    place: Arc<Place>,
    current: Mutex<(u64, Option<Opening>)>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("place", &self.place).finish_non_exhaustive()
    }
}

/// A script with its key and arguments.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) script: &'static Script,
    pub(super) key: Vec<u8>,
    pub(super) arguments: Vec<Vec<u8>>,
}

impl Call {
    fn cached(&self) -> Cmd {
        self.command("EVALSHA", &self.script.sha)
    }

    fn whole(&self) -> Cmd {
        self.command("EVAL", self.script.code)
    }

    fn command(&self, command: &str, script: &str) -> Cmd {
        let mut command = ::redis::cmd(command);
        command.arg(script).arg(1).arg(&self.key);
        for argument in &self.arguments {
            command.arg(argument);
        }
        command
    }
}

impl Link {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Self { place, current: Mutex::new((0, None)) }
    }

    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Runs the script, with the answer it gave.
    pub(super) async fn call(&self, call: &Call) -> Result<Value> {
        self.asking(async |connection| match connection.ask(&call.cached()).await {
            Err(cause) if error::is_no_script(&cause) => connection.ask(&call.whole()).await,
            answer => answer,
        })
        .await
    }

    /// Runs the script, and a command right after it in the same round trip, which may fail though the
    /// script was run.
    pub(super) async fn call_and(
        &self,
        call: &Call,
        then: &Cmd,
    ) -> Result<(Value, RedisResult<Value>)> {
        self.asking(async |connection| {
            let commands = [call.cached(), then.clone()];
            let mut answers = connection.ask_all(&commands).await?;
            if matches!(&answers[0], Err(cause) if error::is_no_script(cause)) {
                answers = connection.ask_all(&[call.whole(), then.clone()]).await?;
            }
            let second = answers.pop().unwrap_or(Ok(Value::Nil));
            let first = answers.pop().unwrap_or(Ok(Value::Nil))?;
            Ok((first, second))
        })
        .await
    }

    /// Runs many, with an answer each. In a cluster each goes to its node, all at once.
    pub(super) async fn call_all(&self, calls: &[Call]) -> Result<Vec<Result<Value>>> {
        let answers = self.asking(async |connection| {
            let cached: Vec<_> = calls.iter().map(Call::cached).collect();
            let mut answers = connection.ask_all(&cached).await?;
            let missing: Vec<_> = (0..calls.len().min(answers.len()))
                .filter(|&i| matches!(&answers[i], Err(cause) if error::is_no_script(cause)))
                .collect();
            if !missing.is_empty() {
                let whole: Vec<_> = missing.iter().map(|&i| calls[i].whole()).collect();
                for (i, answer) in missing.into_iter().zip(connection.ask_all(&whole).await?) {
                    answers[i] = answer;
                }
            }
            of_connection(answers)
        });
        let answers = answers.await?.into_iter();
        Ok(answers.map(|answer| answer.map_err(error::calling)).collect())
    }

    /// One command that is no script.
    pub(super) async fn command(&self, command: &Cmd) -> Result<Value> {
        self.asking(async |connection| connection.ask(command).await).await
    }

    /// Many that are no scripts, with an answer each. In a cluster each goes to its node, all at once.
    pub(super) async fn command_all(&self, commands: &[Cmd]) -> Result<Vec<Result<Value>>> {
        let answers = self.asking(async |connection| {
            let answers = connection.ask_all(commands).await?;
            of_connection(answers)
        });
        let answers = answers.await?.into_iter();
        Ok(answers.map(|answer| answer.map_err(error::calling)).collect())
    }

    /// Where to begin a scan: each primary, with its first cursor.
    pub(super) async fn scan_starts(&self) -> Result<Vec<(Node, String)>> {
        if !self.place.is_cluster() {
            return Ok(vec![(None, "0".to_owned())]);
        }
        let slots = self.command(::redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let Value::Array(ranges) = slots else { return Err(strange()) };
        let mut nodes = BTreeMap::new();
        for range in ranges {
            // From, to, the primary as host and port and more, the replicas.
            let Value::Array(range) = range else { return Err(strange()) };
            let (Some(Value::Int(first)), Some(Value::Array(primary))) =
                (range.first(), range.get(2))
            else {
                return Err(strange());
            };
            let first = u16::try_from(*first).map_err(|_| strange())?;
            nodes.insert(format!("{primary:?}"), first);
        }
        Ok(nodes.into_values().map(|slot| (Some(slot), "0".to_owned())).collect())
    }

    /// One command at the primary that has the slot.
    pub(super) async fn command_at(&self, node: &Node, command: &Cmd) -> Result<Value> {
        self.asking(async |connection| match (connection, node) {
            (Connection::Cluster(cluster), Some(slot)) => {
                let route = Route::new(*slot, SlotAddr::Master);
                let route = SingleNodeRoutingInfo::SpecificNode(route);
                cluster.route_command(command.clone(), RoutingInfo::SingleNode(route)).await
            }
            (connection, _) => connection.ask(command).await,
        })
        .await
    }

    async fn asking<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Result<T> {
        let end = Instant::now() + CALL_LIMIT;
        let (generation, mut connection) = match timeout_at(end, self.connected()).await {
            Ok(connected) => connected?,
            Err(_) => return Err(unanswered(ErrorKind::Unavailable)),
        };
        let doubt = Doubt { link: self, generation, since: Instant::now(), answered: false };
        let result = timeout_at(end, work(&mut connection)).await;
        doubt.resolve(match &result {
            Ok(Ok(_)) => true,
            Ok(Err(cause)) => !error::is_of_connection(cause),
            Err(_) => false,
        });
        match result {
            Ok(result) => result.map_err(error::calling),
            Err(_) => Err(unanswered(ErrorKind::OutcomeUnknown)),
        }
    }

    async fn connected(&self) -> Result<(u64, Connection)> {
        let (generation, opening) = {
            let mut current = self.lock();
            let opening = current.1.take().unwrap_or_else(|| open(Arc::clone(&self.place)));
            current.1 = Some(opening.clone());
            (current.0, opening)
        };
        match opening.await {
            Ok(connection) => Ok((generation, connection)),
            Err(error) => {
                self.discard(generation);
                Err(error)
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

/// The answers, unless one of them says that the connection is no good.
fn of_connection(answers: Vec<RedisResult<Value>>) -> RedisResult<Vec<RedisResult<Value>>> {
    let is_bad =
        |answer: &&RedisResult<Value>| answer.as_ref().err().is_some_and(error::is_of_connection);
    match answers.iter().find(is_bad) {
        Some(Err(cause)) => Err(cause.clone()),
        _ => Ok(answers),
    }
}

/// Opens in a task of its own, so that callers with little time do not start it over and over.
fn open(place: Arc<Place>) -> Opening {
    let task = tokio::spawn(async move {
        match timeout(place.patience(), place.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("the server did not answer within {:?}", place.patience()),
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
