//! The topology: one server, the server that sentinels name, or a cluster.

use std::fmt;
use std::future::pending;
use std::sync::Arc;

use ::redis::aio::{MultiplexedConnection, PubSub};
use ::redis::{Client, ConnectionAddr};
use tokio::time::{sleep, timeout};

use super::address::Address;
use super::connect::{NODE_PATIENCE, primary};
use super::error;
use super::sentinel::{self, Sentinels};
use crate::{Error, ErrorKind, Result};

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
