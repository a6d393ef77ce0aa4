//! The topology: one server, the server that sentinels name, or a cluster.

use std::fmt;
use std::future::pending;
use std::sync::Arc;

use ::redis::aio::{MultiplexedConnection, PubSub};
use ::redis::{Client, ConnectionAddr};
use tokio::time::{sleep, timeout};

use super::address::Address;
use super::connect::{NODE_CONNECT_TIMEOUT, primary};
use super::error_codes;
use super::sentinel::{self, Sentinels};
use crate::common::timeout::unanswered;
use crate::{Error, ErrorKind, Result};

/// The servers of a store.
pub(super) enum Topology {
    Server(ServerLocator),
    /// The nodes that the URL names; each of them knows the others and forwards hints.
    Cluster(Vec<Client>),
}

/// Finds one server.
#[derive(Clone)]
pub(super) enum ServerLocator {
    /// The server has a fixed address.
    Direct(Box<Client>),
    /// Sentinels name the server.
    Sentinels(Arc<Sentinels>),
}

/// A connection to a primary, with its address if sentinels named it.
#[derive(Clone)]
pub(super) struct PrimaryConnection {
    pub(super) connection: MultiplexedConnection,
    pub(super) address: Option<Address>,
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Cluster(_) => f.write_str("Cluster"),
        }
    }
}

impl fmt::Debug for ServerLocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct(_) => "Direct",
            Self::Sentinels(_) => "Sentinels",
        })
    }
}

impl Topology {
    /// Returns the same topology without the tasks and connections of this one.
    pub(super) fn without_connections(&self) -> Self {
        match self {
            Self::Server(ServerLocator::Direct(client)) => {
                Self::Server(ServerLocator::Direct(client.clone()))
            }
            Self::Server(ServerLocator::Sentinels(sentinels)) => {
                Self::Server(ServerLocator::Sentinels(Arc::new(sentinels.without_connections())))
            }
            Self::Cluster(nodes) => Self::Cluster(nodes.clone()),
        }
    }

    /// Returns whether the application's own client uses TLS.
    pub(super) fn has_tls(&self) -> bool {
        let tls = |client: &Client| {
            matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. })
        };
        match self {
            Self::Server(ServerLocator::Direct(client)) => tls(client),
            Self::Cluster(nodes) => nodes.iter().any(tls),
            Self::Server(ServerLocator::Sentinels(_)) => false,
        }
    }

    /// Opens a connection on which hints arrive, and returns it with the server's address if
    /// sentinels named it.
    pub(super) async fn listen(&self) -> Result<(PubSub, Option<Address>)> {
        let nodes = match self {
            Self::Server(ServerLocator::Direct(client)) => {
                let listening = client.get_async_pubsub().await.map_err(error_codes::connecting)?;
                return Ok((listening, None));
            }
            Self::Server(ServerLocator::Sentinels(sentinels)) => {
                let primary = sentinels.primary().await?;
                let listening = primary.client.get_async_pubsub().await;
                return Ok((listening.map_err(error_codes::connecting)?, Some(primary.address)));
            }
            Self::Cluster(nodes) => nodes,
        };
        let mut failed = Error::invalid("no node of the cluster was given for the watch");
        let first = fastrand::usize(..nodes.len().max(1));
        for node in nodes[first..].iter().chain(&nodes[..first]) {
            // An unreachable node must not use up the time of the others.
            let cause = match timeout(NODE_CONNECT_TIMEOUT, node.get_async_pubsub()).await {
                Ok(Ok(listening)) => return Ok((listening, None)),
                Ok(Err(cause)) => error_codes::connecting(cause),
                Err(_) => unanswered(ErrorKind::Unavailable, NODE_CONNECT_TIMEOUT),
            };
            failed = error_codes::of_node(node.get_connection_info().addr(), cause);
        }
        Err(failed)
    }

    /// Waits until the sentinels name a server other than this one.
    pub(super) async fn primary_changed(&self, address: Option<&Address>) {
        let Self::Server(server) = self else { return pending().await };
        if address.is_none() {
            return pending().await;
        }
        while server.is_current(address) {
            sleep(sentinel::INTERVAL).await;
        }
    }
}

impl ServerLocator {
    pub(super) async fn connect(&self) -> Result<PrimaryConnection> {
        match self {
            Self::Direct(client) => {
                Ok(PrimaryConnection { connection: primary(client).await?, address: None })
            }
            Self::Sentinels(sentinels) => {
                let sentinel::SentinelPrimary { connection, address, .. } =
                    sentinels.primary().await?;
                Ok(PrimaryConnection { connection, address: Some(address) })
            }
        }
    }

    /// Keeps asking the sentinels for the primary, if there are any.
    pub(super) fn monitor_sentinels(&self) {
        if let Self::Sentinels(sentinels) = self {
            sentinels.start_monitor();
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
