//! Where the server is: one, the one that sentinels name, or the nodes of a cluster.

use std::fmt;
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use ::redis::cluster::ClusterClient;
use ::redis::{AsyncConnectionConfig, Client, ConnectionAddr, RedisResult, Value};
use tokio::time::timeout;

use super::connection::Connection;
use super::error;
use super::sentinel::Sentinels;
use crate::common::limit::unanswered;
use crate::{Error, ErrorKind, Result};

/// How long connecting may take: less than a call, so that what was not sent is known not to be.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one node of a cluster may take, so that others are reached in time where one hangs.
pub(super) const NODE_PATIENCE: Duration = Duration::from_secs(2);

pub(super) enum Place {
    Single(Box<Client>),
    Sentinel(Box<Sentinels>),
    /// With the nodes to watch at, any of which tells of all.
    Cluster(Box<ClusterClient>, Vec<Client>),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single(_) => "Single",
            Self::Sentinel(_) => "Sentinel",
            Self::Cluster(..) => "Cluster",
        })
    }
}

impl Place {
    pub(super) fn patience(&self) -> Duration {
        PATIENCE
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(..))
    }

    /// Whether the application's own client uses TLS.
    pub(super) fn has_tls(&self) -> bool {
        let tls = |client: &Client| {
            matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. })
        };
        match self {
            Self::Single(client) => tls(client),
            Self::Cluster(_, nodes) => nodes.iter().any(tls),
            Self::Sentinel(..) => false,
        }
    }

    pub(super) async fn connect(&self) -> Result<Connection> {
        Ok(match self {
            Self::Single(client) => Connection::Single(primary(client).await?),
            Self::Sentinel(sentinels) => Connection::Single(sentinels.primary().await?.1),
            Self::Cluster(client, _) => {
                let connection = client.get_async_connection().await;
                Connection::Cluster(connection.map_err(error::connecting)?)
            }
        })
    }

    pub(super) async fn listen(&self) -> Result<PubSub> {
        match self {
            Self::Single(client) => client.get_async_pubsub().await.map_err(error::connecting),
            Self::Sentinel(sentinels) => {
                let (client, _) = sentinels.primary().await?;
                client.get_async_pubsub().await.map_err(error::connecting)
            }
            Self::Cluster(_, nodes) => {
                let mut failed = Error::invalid("no node is given to watch at");
                let first = fastrand::usize(..nodes.len().max(1));
                for node in nodes[first..].iter().chain(&nodes[..first]) {
                    // One that is out of reach must not use up the time of the others.
                    match timeout(NODE_PATIENCE, node.get_async_pubsub()).await {
                        Ok(Ok(listening)) => return Ok(listening),
                        Ok(Err(cause)) => failed = error::connecting(cause),
                        Err(_) => failed = unanswered(ErrorKind::Unavailable),
                    }
                }
                Err(failed)
            }
        }
    }
}

/// A connection without limits, since the link bounds both.
pub(super) async fn plain(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A connection to a server that is a primary.
///
/// A replica that takes writes, if any, keeps them to itself: they must not decide about locks.
/// Where the user may not ask, or something in between does not know the command, a replica still
/// refuses to write, as is its default.
pub(super) async fn primary(client: &Client) -> Result<MultiplexedConnection> {
    let mut connection = plain(client).await.map_err(error::connecting)?;
    let answer = connection.req_packed_command(&::redis::cmd("ROLE")).await;
    match answer.and_then(Value::extract_error) {
        Ok(Value::Array(role)) => match role.first() {
            Some(Value::BulkString(role)) if role == b"slave" => Err(error::replica()),
            Some(Value::BulkString(role)) if role == b"sentinel" => Err(error::sentinel()),
            _ => Ok(connection),
        },
        Ok(_) => Ok(connection),
        Err(cause) if error::may_not_ask(&cause) => Ok(connection),
        Err(cause) => Err(error::connecting(cause)),
    }
}
