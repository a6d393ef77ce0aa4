//! What the suite must be able to do with a datastore, and what it may be able to do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::{LockName, LockStore, Namespace, Result};

/// A datastore to put through the suite.
///
/// Three methods suffice. Build it without starting anything: the suite calls
/// [`start`](Self::start) before the first case that is run, and worker processes build it too.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// What its tests are named after, such as `sqlite`.
    fn name(&self) -> &str;

    /// Opens another independent client: connections of its own, nothing shared but the datastore.
    ///
    /// The namespace may be new; the store then creates what it needs.
    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>>;

    /// Removes everything of the namespace.
    async fn clean(&self, namespace: &Namespace) -> Result<()>;

    /// Starts a server, where there is one to start.
    async fn start(&self) -> Result<()> {
        Ok(())
    }

    /// Stops what [`start`](Self::start) started.
    async fn stop(&self) {}

    /// Name and version of the server that answers, where there is one.
    async fn server(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// What else can be done with it.
    fn probes(&self) -> Probes<'_> {
        Probes::default()
    }
}

/// What some cases need beyond the trait, each where the datastore has it.
///
/// A backend implements the traits it can and points to itself:
/// `Probes { delete_record: Some(self), ..Probes::default() }`.
#[derive(Clone, Copy, Default)]
#[allow(missing_debug_implementations, reason = "it holds trait objects only")]
pub struct Probes<'a> {
    /// For cases with several processes.
    pub other_processes: Option<&'a dyn OtherProcesses>,
    /// For fencing across the deletion of a record.
    pub delete_record: Option<&'a dyn DeleteRecord>,
    /// For what an operation costs.
    pub round_trips: Option<&'a dyn RoundTrips>,
    /// For least rights.
    pub schema: Option<&'a dyn Schema>,
    /// For stores on a pool that the application has.
    pub own_pool: Option<&'a dyn OwnPool>,
    /// For links that are slow or cut, and replies that do not come.
    pub outages: Option<&'a dyn Outages>,
    /// For servers that stop and freeze.
    pub own_server: Option<&'a dyn OwnServer>,
}

/// Reaching the same datastore from another process.
#[async_trait]
pub trait OtherProcesses: Send + Sync {
    /// Where the datastore is: text that [`attach`](Self::attach) understands.
    fn address(&self) -> String;

    /// In a worker process: the backend that another process started.
    ///
    /// `self` was built but not started there.
    async fn attach(&self, address: &str) -> Result<Arc<dyn Backend>>;
}

/// Deleting a record behind the store's back, as an operator or an expiry index would.
#[async_trait]
pub trait DeleteRecord: Send + Sync {
    /// Deletes all that the datastore holds of the name.
    async fn delete_record(&self, namespace: &Namespace, name: &LockName) -> Result<()>;
}

/// Counting round trips where they happen, at the server or in between.
#[async_trait]
pub trait RoundTrips: Send + Sync {
    /// Opens a client whose round trips are counted.
    async fn open_counted(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>>;

    /// How many round trips there were so far, of counted clients of that namespace.
    async fn counted(&self, namespace: &Namespace) -> Result<u64>;

    /// How many an uncontended acquire may take: 1, or 2 on MySQL and etcd.
    fn acquire_budget(&self) -> u64;

    /// How many a renewal may take: 1, or 2 where what extends a lease takes no conditions (etcd).
    fn renew_budget(&self) -> u64 {
        1
    }
}

/// The datastore's schema in an application's own hands.
#[async_trait]
pub trait Schema: Send + Sync {
    /// The schema as the store prints it for an application's own migrations.
    fn printed(&self, namespace: &Namespace) -> Result<String>;

    /// Applies the text printed for that namespace as a migration tool would, with full rights.
    async fn apply(&self, namespace: &Namespace, printed: &str) -> Result<()>;

    /// Opens a client that has no right to change the schema.
    async fn open_without_rights(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>>;
}

/// Stores on a pool or client that the application has already.
#[async_trait]
pub trait OwnPool: Send + Sync {
    /// Opens a store on a new application's pool, of two connections at most.
    async fn open_on_own_pool(&self, namespace: &Namespace) -> Result<Pooled>;
}

/// A store on the application's pool.
#[allow(missing_debug_implementations, reason = "it holds a closure")]
pub struct Pooled {
    /// The store.
    pub store: Arc<dyn LockStore>,
    /// Uses the pool as the application does, beside the store.
    pub use_pool:
        Box<dyn Fn() -> futures_util::future::BoxFuture<'static, Result<()>> + Send + Sync>,
}

/// Cutting clients off from the datastore.
#[async_trait]
pub trait Outages: Send + Sync {
    /// Opens a client over a link that can be cut.
    async fn open_over_link(&self, namespace: &Namespace) -> Result<Arc<dyn Link>>;
}

/// A client's way to the datastore.
#[async_trait]
pub trait Link: Send + Sync {
    /// The client that goes this way.
    fn store(&self) -> Arc<dyn LockStore>;
    /// Lets requests through and withholds the replies, from now.
    async fn swallow_replies(&self);
    /// Lets everything through, each part of it that much later, from now.
    async fn slow(&self, delay: Duration);
    /// Throws away everything on the present connections, from now, without closing them. New
    /// connections are served.
    async fn silence_connections(&self);
    /// Ends all connections and accepts no others, from now.
    async fn cut(&self);
    /// Lets everything through again, on new connections if need be.
    async fn restore(&self);
}

/// Servers that a case may do anything to.
#[async_trait]
pub trait OwnServer: Send + Sync {
    /// Starts a server that nothing else uses, whose data outlast a restart.
    async fn start_server(&self) -> Result<Box<dyn Victim>>;
}

/// A server of a case's own, gone when it is dropped.
#[async_trait]
pub trait Victim: Send + Sync {
    /// Opens another independent client.
    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>>;
    /// Stops it in order.
    async fn stop(&self) -> Result<()>;
    /// Starts it again, at the same address, and waits until it answers.
    async fn start_again(&self) -> Result<()>;
    /// Has it answer nothing, from now.
    async fn freeze(&self) -> Result<()>;
    /// Lets it go on.
    async fn resume(&self) -> Result<()>;
}
