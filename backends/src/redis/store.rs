//! The store that applications open.

use ::redis::Client;

use super::backend::Redis;
use super::connect::provide_cryptography;
use super::topology::{ServerLocator, Topology};
use super::url::{self, Config};
use crate::common::with_context;
use crate::shell::{Backend, Store};
use crate::{Error, Namespace, OpenOptions, Result};

/// This store keeps locks in Redis or Valkey; see the [module](super) for what they guarantee.
///
/// Clones share their connections, which are reopened when they break. Each runtime has separate
/// connections, so that heartbeats do not depend on the application's threads.
pub type RedisStore = Store<Redis>;

impl Store<Redis> {
    /// Connects to the server, the sentinels' primary or the cluster that the URL names.
    ///
    /// The URL is one of `redis://USER:PASSWORD@HOST:PORT/DB`, `redis+unix:///PATH?db=N`,
    /// `redis+cluster://HOST:PORT,HOST:PORT` and `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB`;
    /// with `rediss` instead of `redis` for TLS, and `valkey` and `valkeys` mean the same. With
    /// `?wait_replicas=N`, grants, renewals and disables wait until that many replicas have them;
    /// `ca`, `cert` and `key` name files in PEM for TLS, and `sentinel_username` and
    /// `sentinel_password` are the sentinels' own.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a URL that cannot be read;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when no server answers;
    /// [`Denied`](crate::ErrorKind::Denied) for a wrong password or a missing right;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a server that lacks a command.
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn connect(url: &str, options: &OpenOptions) -> Result<Self> {
        let config = url::parse(url).map_err(|error| error.during("open"))?;
        if config.wait_replicas > 0 && matches!(config.topology, Topology::Cluster(_)) {
            return Err(Error::invalid("wait_replicas is not supported with a cluster")
                .with_fix("see the server's own setting min-replicas-to-write instead")
                .during("open"));
        }
        Self::open(config, options).await
    }

    /// Builds the store on the server of a client that the application already has.
    ///
    /// The store opens its own connections with the client.
    ///
    /// # Errors
    /// This fails for the same reasons as [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn from_client(client: Client, options: &OpenOptions) -> Result<Self> {
        let label = format!("redis://{}", client.get_connection_info().addr());
        let topology = Topology::Server(ServerLocator::Direct(Box::new(client)));
        Self::open(Config { topology, label, wait_replicas: 0 }, options).await
    }

    /// Builds the store on a cluster, by clients of one or more of its nodes.
    ///
    /// The store finds the other nodes and connects to them with the settings of the first client:
    /// with the same user, password, protocol and certificates.
    ///
    /// # Errors
    /// This fails for the same reasons as [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn from_cluster_nodes(nodes: Vec<Client>, options: &OpenOptions) -> Result<Self> {
        let Some(first) = nodes.first() else {
            return Err(Error::invalid("no cluster node is given").during("open"));
        };
        let label = format!("redis+cluster://{}", first.get_connection_info().addr());
        let topology = Topology::Cluster(nodes);
        Self::open(Config { topology, label, wait_replicas: 0 }, options).await
    }

    async fn open(config: Config, options: &OpenOptions) -> Result<Self> {
        if config.topology.has_tls() {
            provide_cryptography();
        }
        let backend = Redis::new(config, &options.namespace);
        backend.check().await.map_err(with_context("open", backend.label(), None))?;
        Ok(Self::new(backend))
    }

    /// Returns an empty text: Redis needs no schema.
    #[must_use]
    pub fn schema(_namespace: &Namespace) -> String {
        String::new()
    }
}
