//! The servers of a store: one, or the nodes of a cluster.

use std::sync::Arc;
use std::time::Duration;

use ::redis::Value;

use super::cluster::Cluster;
use super::connect::CONNECT_TIMEOUT;
use super::error_codes;
use super::primary::Primary;
use super::request::Request;
use super::shared_connection::SharedConnection;
use super::topology::{ServerLocator, Topology};
use crate::Result;
use crate::common::timeout::CALL_LIMIT;

#[derive(Clone, Debug)]
pub(super) enum Servers {
    One(Arc<SharedConnection>),
    Cluster(Arc<Cluster>),
}

impl Servers {
    pub(super) fn new(topology: &Topology) -> Self {
        match topology {
            Topology::Server(server) => Self::One(Arc::new(one(server))),
            Topology::Cluster(nodes) => Self::Cluster(Arc::new(Cluster::new(nodes.clone()))),
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Runs one request.
    pub(super) async fn call(&self, request: Request) -> Result<Value> {
        match self {
            Self::One(connection) => connection.call(request).await,
            Self::Cluster(cluster) => cluster.call(request).await,
        }
    }

    /// Runs many requests in one round trip for each server, and returns an answer for each.
    ///
    /// In a cluster, `limit` computes from a node's latency how long to wait for its answers.
    ///
    /// # Errors
    /// This fails if there is no server to ask.
    pub(super) async fn call_all(
        &self,
        requests: Vec<Request>,
        limit: impl Fn(Duration) -> Duration,
    ) -> Result<Vec<Result<Value>>> {
        match self {
            Self::One(connection) => {
                let (replies, _) = connection.send(&requests, None).await?;
                Ok(replies.into_iter().map(|reply| reply.map_err(error_codes::calling)).collect())
            }
            Self::Cluster(cluster) => cluster.call_all(requests, limit).await,
        }
    }

    /// Returns a connection to each server that stores keys.
    pub(super) async fn primaries(&self) -> Result<Vec<Primary>> {
        match self {
            Self::One(connection) => {
                Ok(vec![Primary { connection: Arc::clone(connection), node: None }])
            }
            Self::Cluster(cluster) => cluster.primaries().await,
        }
    }
}

/// Returns a new connection to that server.
pub(super) fn one(server: &ServerLocator) -> SharedConnection {
    SharedConnection::new(server.clone(), CONNECT_TIMEOUT, false)
}

/// The limit for calls whose answers are only useful together.
pub(super) fn full_limit(_latency: Duration) -> Duration {
    CALL_LIMIT
}
