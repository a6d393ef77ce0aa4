//! The topology: one server, the server that sentinels name, or a cluster.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use ::redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisResult, Value};
use tokio::time::{sleep, timeout};

use super::error;
use super::sentinel::{self, Sentinels};
use crate::{Error, ErrorKind, Result};

/// How long connecting may take: less than a call, so that what was not sent is known not to be.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long one node of a cluster may take, so that others are reached in time where one hangs.
pub(super) const NODE_PATIENCE: Duration = Duration::from_secs(2);

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

pub(super) enum Place {
    Server(Server),
    /// The nodes that the URL names; each of them knows the others and forwards hints.
    Cluster(Vec<Client>),
}

/// How one server is found.
#[derive(Clone)]
pub(super) enum Server {
    At(Box<Client>),
    Sentinels(Arc<Sentinels>),
}

/// A connection to a primary, with its address if sentinels named it.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) connection: MultiplexedConnection,
    pub(super) address: Option<Address>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Cluster(_) => f.write_str("Cluster"),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::At(_) => "At",
            Self::Sentinels(_) => "Sentinels",
        })
    }
}

impl Place {
    /// Returns the same topology without the tasks and connections of this one.
    pub(super) fn separate(&self) -> Self {
        match self {
            Self::Server(Server::At(client)) => Self::Server(Server::At(client.clone())),
            Self::Server(Server::Sentinels(sentinels)) => {
                Self::Server(Server::Sentinels(Arc::new(sentinels.separate())))
            }
            Self::Cluster(nodes) => Self::Cluster(nodes.clone()),
        }
    }

    /// Whether the application's own client uses TLS.
    pub(super) fn has_tls(&self) -> bool {
        let tls = |client: &Client| {
            matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. })
        };
        match self {
            Self::Server(Server::At(client)) => tls(client),
            Self::Cluster(nodes) => nodes.iter().any(tls),
            Self::Server(Server::Sentinels(_)) => false,
        }
    }

    /// Opens a connection on which hints arrive, and returns it with the server's address if
    /// sentinels named it.
    pub(super) async fn listen(&self) -> Result<(PubSub, Option<Address>)> {
        let nodes = match self {
            Self::Server(Server::At(client)) => {
                let listening = client.get_async_pubsub().await.map_err(error::connecting)?;
                return Ok((listening, None));
            }
            Self::Server(Server::Sentinels(sentinels)) => {
                let primary = sentinels.primary().await?;
                let listening = primary.client.get_async_pubsub().await;
                return Ok((listening.map_err(error::connecting)?, Some(primary.address)));
            }
            Self::Cluster(nodes) => nodes,
        };
        let mut failed = Error::invalid("no node of the cluster was given for the watch");
        let first = fastrand::usize(..nodes.len().max(1));
        for node in nodes[first..].iter().chain(&nodes[..first]) {
            // An unreachable node must not use up the time of the others.
            let cause = match timeout(NODE_PATIENCE, node.get_async_pubsub()).await {
                Ok(Ok(listening)) => return Ok((listening, None)),
                Ok(Err(cause)) => error::connecting(cause),
                Err(_) => error::unanswered(ErrorKind::Unavailable, NODE_PATIENCE),
            };
            failed = error::of_node(node.get_connection_info().addr(), cause);
        }
        Err(failed)
    }

    /// Waits until the sentinels name a server other than this one.
    pub(super) async fn left(&self, address: Option<&Address>) {
        let Self::Server(server) = self else { return pending().await };
        if address.is_none() {
            return pending().await;
        }
        while server.is_current(address) {
            sleep(sentinel::INTERVAL).await;
        }
    }
}

impl Server {
    pub(super) async fn connect(&self) -> Result<Opened> {
        match self {
            Self::At(client) => Ok(Opened { connection: primary(client).await?, address: None }),
            Self::Sentinels(sentinels) => {
                let sentinel::Found { connection, address, .. } = sentinels.primary().await?;
                Ok(Opened { connection, address: Some(address) })
            }
        }
    }

    /// Keeps asking the sentinels, if there are any.
    pub(super) fn keep_asking(&self) {
        if let Self::Sentinels(sentinels) = self {
            sentinels.keep_asking();
        }
    }

    /// Returns whether the server that sentinels named is still the one that they name.
    pub(super) fn is_current(&self, address: Option<&Address>) -> bool {
        match (self, address) {
            (Self::Sentinels(sentinels), Some(address)) => sentinels.is_current(address),
            _ => true,
        }
    }
}

/// Returns a client for that address with the settings of another client.
pub(super) fn client_at(model: &ConnectionInfo, address: &Address) -> RedisResult<Client> {
    let (host, port) = (address.host.clone(), address.port);
    let address = match model.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    Client::open(model.clone().set_addr(address))
}

/// Opens a connection without time limits, since the caller limits connecting and calls.
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
