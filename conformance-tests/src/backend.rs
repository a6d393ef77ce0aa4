//! This module defines what a backend must offer to the suite, and what it may offer in addition.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use leasehold_core::{LockName, LockStore, Namespace, Result};

/// A backend is a datastore that the suite tests.
///
/// This is not the trait `leasehold::shell::Backend`, on which a store can be built: that one has
/// the operations of a datastore, and this one opens stores for the suite and cleans up after them.
///
/// Three methods are required. Build the value without starting anything: the suite calls
/// [`start`](Self::start) before it runs the first case, and worker processes build the value too.
///
/// A failure of the methods' own work, such as a folder that cannot be created, is an error of the
/// kind [`Unavailable`](leasehold_core::ErrorKind::Unavailable) with the cause as its source.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Returns the first part of the names of its tests, such as `sqlite`.
    fn name(&self) -> &str;

    /// Opens another independent client, which has its own connections and shares only the
    /// datastore with other clients. Clients of a database that can be opened only once share the
    /// open database.
    ///
    /// The namespace may be new. The store then creates what it needs.
    ///
    /// Namespaces whose first 21 characters are alike must share one database, or the case
    /// `rights::namespaces_are_separate` proves nothing. Others may have a database of their own.
    /// Several cases run at a time. If a database has only one writer at a time, give each such
    /// group of namespaces its own: cases that wait for each other's writes may lose short leases.
    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>>;

    /// Removes everything that belongs to the namespace.
    ///
    /// Clients of the namespace may still be open. A database that other namespaces share, or its
    /// file, must stay; [`stop`](Self::stop) may remove it.
    async fn clean(&self, namespace: &Namespace) -> Result<()>;

    /// Starts a server, if the backend needs one, or creates the folder of an embedded datastore.
    async fn start(&self) -> Result<()> {
        Ok(())
    }

    /// Stops what [`start`](Self::start) started.
    async fn stop(&self) {}

    /// Returns the name and the version of the server, if there is one.
    async fn server(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Returns the means by which cases can do more with the datastore than the trait allows.
    fn probes(&self) -> Probes<'_> {
        Probes::default()
    }
}

/// Probes are the means that some cases need beyond the trait. A backend offers those that its
/// datastore has.
///
/// A backend implements the traits that it can and refers to itself:
/// `Probes::default().with_delete_record(self)`.
#[derive(Clone, Copy, Default)]
#[allow(missing_debug_implementations, reason = "it holds trait objects only")]
#[non_exhaustive]
pub struct Probes<'a> {
    /// Cases with several processes need this.
    pub other_processes: Option<&'a dyn OtherProcesses>,
    /// Cases that delete a record and then check the fencing token need this.
    pub delete_record: Option<&'a dyn DeleteRecord>,
    /// Cases that count the round trips of an operation need this.
    pub round_trips: Option<&'a dyn RoundTrips>,
    /// Cases about the permissions that a client needs need this.
    pub schema: Option<&'a dyn Schema>,
    /// Cases with a store on the application's own pool need this.
    pub own_pool: Option<&'a dyn OwnPool>,
    /// Cases with slow or cut connections and lost replies need this.
    pub outages: Option<&'a dyn Outages>,
    /// Cases that stop and freeze a server need this.
    pub own_server: Option<&'a dyn OwnServer>,
}

impl<'a> Probes<'a> {
    /// Offers to reach the datastore from another process.
    #[must_use]
    pub fn with_other_processes(self, probe: &'a dyn OtherProcesses) -> Self {
        Self { other_processes: Some(probe), ..self }
    }

    /// Offers to delete a record directly.
    #[must_use]
    pub fn with_delete_record(self, probe: &'a dyn DeleteRecord) -> Self {
        Self { delete_record: Some(probe), ..self }
    }

    /// Offers to count round trips.
    #[must_use]
    pub fn with_round_trips(self, probe: &'a dyn RoundTrips) -> Self {
        Self { round_trips: Some(probe), ..self }
    }

    /// Offers to apply the schema as an application does.
    #[must_use]
    pub fn with_schema(self, probe: &'a dyn Schema) -> Self {
        Self { schema: Some(probe), ..self }
    }

    /// Offers stores on the application's own pool.
    #[must_use]
    pub fn with_own_pool(self, probe: &'a dyn OwnPool) -> Self {
        Self { own_pool: Some(probe), ..self }
    }

    /// Offers connections that can be cut.
    #[must_use]
    pub fn with_outages(self, probe: &'a dyn Outages) -> Self {
        Self { outages: Some(probe), ..self }
    }

    /// Offers servers that a case may stop.
    #[must_use]
    pub fn with_own_server(self, probe: &'a dyn OwnServer) -> Self {
        Self { own_server: Some(probe), ..self }
    }
}

/// Reaches the same datastore from another process.
#[async_trait]
pub trait OtherProcesses: Send + Sync {
    /// Returns the address of the datastore, as text that [`attach`](Self::attach) understands.
    fn address(&self) -> String;

    /// Returns, in a worker process, the backend that another process started.
    ///
    /// In the worker process, `self` was built but not started.
    async fn attach(&self, address: &str) -> Result<Arc<dyn Backend>>;
}

/// Deletes a record directly in the datastore, as an operator or an expiry index would.
#[async_trait]
pub trait DeleteRecord: Send + Sync {
    /// Deletes everything that the datastore has of the name.
    async fn delete_record(&self, namespace: &Namespace, name: &LockName) -> Result<()>;
}

/// Counts round trips at the server or at a proxy.
///
/// A datastore without a network counts what costs it most, such as commits of write transactions.
#[async_trait]
pub trait RoundTrips: Send + Sync {
    /// Opens a client whose round trips are counted.
    async fn open_counted(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>>;

    /// Returns how many round trips the counted clients of that namespace have made so far.
    async fn counted(&self, namespace: &Namespace) -> Result<u64>;

    /// Returns how many round trips an uncontended acquire of a free name may take.
    ///
    /// This is 1, or 2 if a first request must be answered before the one that decides can be sent,
    /// as on etcd. MySQL takes 1 for a free name, and a second one only to read who holds it. The
    /// suite accepts no more than 2, and compares this number with the least of several calls.
    fn acquire_budget(&self) -> u64;

    /// Returns how many round trips the renewal of one lease may take: 1, or 2 if the call that
    /// extends a lease takes no conditions (etcd).
    fn renew_budget(&self) -> u64 {
        1
    }
}

/// Lets the suite apply the datastore's schema as an application does.
///
/// Without permissions, as in an embedded datastore, the client requires the schema and creates
/// nothing.
#[async_trait]
pub trait Schema: Send + Sync {
    /// Returns the schema as the store prints it for an application's own migrations.
    fn printed(&self, namespace: &Namespace) -> Result<String>;

    /// Applies the text printed for that namespace with full permissions, as a migration tool
    /// would.
    async fn apply(&self, namespace: &Namespace, printed: &str) -> Result<()>;

    /// Opens a client that has no permission to change the schema.
    async fn open_without_rights(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>>;
}

/// Builds stores on a pool or client that the application already has.
///
/// For an embedded datastore, this is the open database, in which the application has tables of its
/// own.
#[async_trait]
pub trait OwnPool: Send + Sync {
    /// Opens a store on the pool of a new application. The pool has at most two connections.
    ///
    /// In the call that creates a [`Pooled`], its function is written without the name of a future:
    /// `Box::new(move || Box::pin(async move { … }))`.
    async fn open_on_own_pool(&self, namespace: &Namespace) -> Result<Pooled>;
}

/// A function of this kind uses the pool as the application does.
pub type UsePool = Box<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// This is a store on the application's pool.
#[allow(missing_debug_implementations, reason = "it holds a closure")]
#[non_exhaustive]
pub struct Pooled {
    /// This store uses the pool.
    pub store: Arc<dyn LockStore>,
    /// Uses the pool as the application does, while the store uses it too.
    pub use_pool: UsePool,
}

impl Pooled {
    /// Returns a store on a pool that the application uses by calling `use_pool`.
    #[must_use]
    pub fn new(store: Arc<dyn LockStore>, use_pool: UsePool) -> Self {
        Self { store, use_pool }
    }
}

/// Cuts clients off from the datastore.
#[async_trait]
pub trait Outages: Send + Sync {
    /// Opens a client over a link that can be cut.
    async fn open_over_link(&self, namespace: &Namespace) -> Result<Arc<dyn Link>>;
}

/// A link is the connection of a client to the datastore.
#[async_trait]
pub trait Link: Send + Sync {
    /// Returns the client that uses this link.
    fn store(&self) -> Arc<dyn LockStore>;
    /// Lets requests through and drops the replies, from now on.
    async fn swallow_replies(&self);
    /// Lets all data through, and delays each part of it by that time, from now on.
    async fn slow(&self, delay: Duration);
    /// Drops all data on the open connections without closing them, from now on. New connections
    /// work.
    async fn silence_connections(&self);
    /// Ends all connections and accepts no others, from now on.
    async fn cut(&self);
    /// Lets all data through again, if necessary on new connections.
    async fn restore(&self);
}

/// Starts servers that a case may stop and freeze.
#[async_trait]
pub trait OwnServer: Send + Sync {
    /// Starts a server that nothing else uses and whose data outlast a restart.
    async fn start_server(&self) -> Result<Box<dyn DisposableServer>>;
}

/// A disposable server belongs to one case, and is removed when this value is dropped.
#[async_trait]
pub trait DisposableServer: Send + Sync {
    /// Opens another independent client of this server.
    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>>;
    /// Stops the server in an orderly way.
    async fn stop(&self) -> Result<()>;
    /// Starts the server again at the same address and waits until it responds.
    async fn start_again(&self) -> Result<()>;
    /// Freezes the server: from now on it replies to nothing.
    async fn freeze(&self) -> Result<()>;
    /// Resumes the frozen server.
    async fn resume(&self) -> Result<()>;
}
