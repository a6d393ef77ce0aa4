//! The store that applications open.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::Client;
use async_trait::async_trait;
use uuid::Uuid;

use super::check::check;
use super::instances::Instances;
use super::operations::Operations;
use super::runtimes::Runtimes;
use super::scan::ScanCache;
use super::topology::{ServerLocator, Topology};
use super::{config, error, watch};
use crate::common::timeout::write_timeout;
use crate::common::with_context;
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    Error, HintStream, InstanceRecord, LeaseId, ListOptions, LockName, LockRecord, LockStore,
    Namespace, OpenOptions, Presence, PruneOptions, Reach, ReleaseOutcome, RenewOptions,
    RenewOutcome, Result, StoreClock, Wake, check_ttl,
};

/// Locks in Redis or Valkey; see the [module](super) for what they guarantee.
///
/// Clones share their connections, which are reopened when they break. Each runtime has connections
/// of its own, so that heartbeats do not depend on the application's threads.
#[derive(Clone)]
pub struct RedisStore {
    shared: Arc<RedisInner>,
}

struct RedisInner {
    label: String,
    operations: Operations,
}

impl RedisStore {
    /// Opens the server, the sentinels' primary or the cluster that the URL names.
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
        let config = config::parse(url).map_err(|error| error.during("open"))?;
        if config.wait_replicas > 0 && matches!(config.topology, Topology::Cluster(_)) {
            return Err(Error::invalid("wait_replicas is not supported with a cluster")
                .with_fix("see the server's own setting min-replicas-to-write instead")
                .during("open"));
        }
        Self::open(config, options).await
    }

    /// Builds the store on the server of a client that the application already has.
    ///
    /// A client of this driver is no connection: the store makes connections of its own.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn from_client(client: Client, options: &OpenOptions) -> Result<Self> {
        let label = format!("redis://{}", client.get_connection_info().addr());
        let topology = Topology::Server(ServerLocator::Direct(Box::new(client)));
        Self::open(config::Config { topology, label, wait_replicas: 0 }, options).await
    }

    /// Builds the store on a cluster, by clients of one or more of its nodes.
    ///
    /// The store finds the other nodes and connects to them with the settings of the first client:
    /// with the same user, password, protocol and certificates.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn from_cluster_nodes(nodes: Vec<Client>, options: &OpenOptions) -> Result<Self> {
        let Some(first) = nodes.first() else {
            return Err(Error::invalid("no node of the cluster is given").during("open"));
        };
        let label = format!("redis+cluster://{}", first.get_connection_info().addr());
        let topology = Topology::Cluster(nodes);
        Self::open(config::Config { topology, label, wait_replicas: 0 }, options).await
    }

    async fn open(config: config::Config, options: &OpenOptions) -> Result<Self> {
        if config.topology.has_tls() {
            config::provide_cryptography();
        }
        let config::Config { topology, label, wait_replicas } = config;
        let namespace = &options.namespace;
        let operations = Operations {
            keys: format!("{namespace}:lock:"),
            channel: format!("{namespace}:hints"),
            instances: Instances::new(namespace),
            runtimes: Runtimes::new(topology, wait_replicas),
            listings: ScanCache::default(),
        };
        let Operations { runtimes, keys, channel, .. } = &operations;
        let checked = check(&runtimes.here(), keys, channel).await.map_err(error::reading);
        checked.map_err(with_context("open", &label, None))?;
        Ok(Self { shared: Arc::new(RedisInner { label, operations }) })
    }

    /// The statements that create the schema of that namespace: none, since Redis has none.
    #[must_use]
    pub fn schema(_namespace: &Namespace) -> String {
        String::new()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("label", &self.shared.label)
            .field("keys", &self.shared.operations.keys)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl LockStore for RedisStore {
    fn label(&self) -> &str {
        &self.shared.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            min_ttl: Duration::from_millis(50),
            ttl_step: Duration::from_micros(1),
            clock: StoreClock::Server,
            reach: Reach::Network,
            wake: Wake::Push,
            renew_batch: 500,
        }
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let with_context = with_context("acquire", self.label(), Some(name));
        check_ttl(options.ttl, &self.capabilities()).map_err(&with_context)?;
        write_timeout(self.shared.operations.acquire(name, options)).await.map_err(with_context)
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        for RenewOptions { name, ttl, .. } in leases {
            let with_context = with_context("renew", self.label(), Some(name));
            check_ttl(*ttl, &self.capabilities()).map_err(with_context)?;
        }
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        self.shared.operations.renew(leases).await.map_err(with_context(
            "renew",
            self.label(),
            None,
        ))
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let released = self.shared.operations.release(name, lease).await;
        released.map_err(with_context("release", self.label(), Some(name)))
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let disabled = self.shared.operations.disable(name, options).await;
        disabled.map_err(with_context("disable", self.label(), Some(name)))
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let enabled = self.shared.operations.enable(name).await;
        enabled.map_err(with_context("enable", self.label(), Some(name)))
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let found = self.shared.operations.get(name).await.map_err(error::reading);
        found.map_err(with_context("get", self.label(), Some(name)))
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let found = self.shared.operations.list(options).await.map_err(error::reading);
        found.map_err(with_context("list", self.label(), None))
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        let pruned = self.shared.operations.prune(options).await;
        pruned.map_err(with_context("prune", self.label(), None))
    }

    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        let with_context = with_context("announce", self.label(), None);
        check_ttl(ttl, &self.capabilities()).map_err(&with_context)?;
        let Operations { instances, runtimes, .. } = &self.shared.operations;
        instances.announce(&runtimes.here().servers, presence, ttl).await.map_err(with_context)
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        let Operations { instances, runtimes, .. } = &self.shared.operations;
        let withdrawn = instances.withdraw(&runtimes.here().servers, instance).await;
        withdrawn.map_err(with_context("withdraw", self.label(), None))
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        let RedisInner { label, operations } = &*self.shared;
        let connections = operations.runtimes.here();
        let known = operations.instances.known(&connections.servers, label).await;
        known.map_err(error::reading).map_err(with_context("instances", label, None))
    }

    async fn watch(&self) -> Result<HintStream> {
        let Operations { runtimes, channel, .. } = &self.shared.operations;
        let hints = watch::hints(runtimes.here(), channel.clone()).await;
        hints.map_err(with_context("watch", self.label(), None))
    }
}
