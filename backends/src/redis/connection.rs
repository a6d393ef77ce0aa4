//! A connection to one server, or to the nodes of a cluster.

use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::cluster_async::ClusterConnection;
use ::redis::cluster_routing::SingleNodeRoutingInfo;
use ::redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use futures_util::future::join_all;
use tokio::time::sleep;

use super::error;

/// How often a command follows its slot to another node, and how long after it was told.
const MOVES: u32 = 10;
const MOVE_PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        let cluster = match self {
            Self::Single(connection) => {
                return connection.req_packed_command(command).await?.extract_error();
            }
            Self::Cluster(connection) => connection,
        };
        // The driver retries nothing, since it would repeat what may have been done. What a node
        // passed on to another was not done, and the driver has asked who has the slot now.
        let mut answer = cluster.req_packed_command(command).await.and_then(Value::extract_error);
        for _ in 0..MOVES {
            answer = match answer {
                Err(cause) if cause.code() == Some("ASK") => {
                    match cause.redirect_node().and_then(|(node, _)| node.rsplit_once(':')) {
                        Some((host, port)) => asking(cluster, command, host, port).await,
                        None => Err(cause),
                    }
                }
                Err(cause) if error::is_elsewhere(&cause) => {
                    sleep(MOVE_PAUSE).await;
                    cluster.req_packed_command(command).await.and_then(Value::extract_error)
                }
                answer => return answer,
            };
        }
        answer
    }

    /// In one round trip; in a cluster each command goes to its node, all at once.
    pub(super) async fn ask_all(
        &mut self,
        commands: &[Cmd],
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        match self {
            Self::Single(connection) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command.clone());
                }
                let count = commands.len();
                let values = connection.req_packed_commands(&pipeline, 0, count).await?;
                if values.len() != count {
                    return Err(missing());
                }
                Ok(values.into_iter().map(Value::extract_error).collect())
            }
            Self::Cluster(connection) => {
                let asked = commands.iter().map(|command| {
                    let mut connection = Self::Cluster(connection.clone());
                    async move { connection.ask(command).await }
                });
                Ok(join_all(asked).await)
            }
        }
    }
}

/// Of the node that a slot moves to: it answers for a key that is there already only who says that
/// they were sent, right before and on the same connection.
async fn asking(
    cluster: &mut ClusterConnection,
    command: &Cmd,
    host: &str,
    port: &str,
) -> RedisResult<Value> {
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("ASKING").add_command(command.clone());
    let host = host.trim_matches(['[', ']']).to_owned();
    let port = port.parse().map_err(|_| missing())?;
    let node = SingleNodeRoutingInfo::ByAddress { host, port };
    let answers = cluster.route_pipeline(pipeline, 0, 2, node).await?;
    answers.into_iter().nth(1).ok_or_else(missing)?.extract_error()
}

fn missing() -> RedisError {
    RedisError::from((::redis::ErrorKind::Parse, "answers are missing"))
}
