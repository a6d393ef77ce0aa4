//! Where the server is: one, the one that sentinels name, or the nodes of a cluster.

use std::fmt;
use std::time::Duration;

use ::redis::aio::PubSub;
use ::redis::cluster::ClusterClient;
use ::redis::sentinel::SentinelClient;
use ::redis::{AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, RedisError, RedisResult};
use tokio::sync::Mutex;

use super::link::Connection;

/// How long connecting may take: less than a call, so that what was not sent is known not to be.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

pub(super) enum Place {
    Single(Box<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
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

    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        // The link bounds both.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        Ok(match self {
            Self::Single(client) => Connection::Single(
                client.get_multiplexed_async_connection_with_config(&config).await?,
            ),
            Self::Sentinel(client) => Connection::Single(
                client.lock().await.get_async_connection_with_config(&config).await?,
            ),
            Self::Cluster(client, _) => Connection::Cluster(client.get_async_connection().await?),
        })
    }

    pub(super) async fn listen(&self) -> RedisResult<PubSub> {
        match self {
            Self::Single(client) => client.get_async_pubsub().await,
            Self::Sentinel(client) => {
                let client = client.lock().await.async_get_client().await?;
                client.get_async_pubsub().await
            }
            Self::Cluster(_, nodes) => {
                let mut failed = RedisError::from((ErrorKind::Client, "no node to watch at"));
                let first = fastrand::usize(..nodes.len().max(1));
                for node in nodes[first..].iter().chain(&nodes[..first]) {
                    match node.get_async_pubsub().await {
                        Ok(listening) => return Ok(listening),
                        Err(cause) => failed = cause,
                    }
                }
                Err(failed)
            }
        }
    }
}
