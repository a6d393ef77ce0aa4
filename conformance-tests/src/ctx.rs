//! What a case is given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_core::{Capabilities, LockName, MAX_TTL, Namespace, Wake};
use parking_lot::{Mutex, MutexGuard};

use crate::{Backend, CaseResult, Client, Failure};

/// What a case is given: a backend, and a namespace on it that no other case uses.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "it holds a trait object")]
pub struct Ctx {
    shared: Arc<Shared>,
}

struct Shared {
    backend: Arc<dyn Backend>,
    capabilities: Capabilities,
    pace: u32,
    /// The case's own first, then what it asked for; all are cleaned after it.
    namespaces: Mutex<Vec<Namespace>>,
    namespace: Namespace,
}

impl Ctx {
    /// Long enough for a busy machine to do a few calls in, short enough to wait for.
    const SHORT: Duration = Duration::from_millis(300);

    /// Longer than any case takes.
    const LONG: Duration = Duration::from_secs(330);

    /// How late a store may notice that a lease is over.
    const EXPIRY_NOTICED: Duration = Duration::from_secs(20);

    /// A lease may last this much longer than its remaining time before a case fails.
    const OVER_PATIENCE: Duration = Duration::from_secs(90);

    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        capabilities: Capabilities,
        pace: u32,
    ) -> CaseResult<Self> {
        let namespace = new_namespace()?;
        let namespaces = Mutex::new(vec![namespace.clone()]);
        let shared = Shared { backend, capabilities, pace, namespaces, namespace };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The datastore.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    /// What the store can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.shared.capabilities
    }

    /// The case's own namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.shared.namespace
    }

    /// Another namespace, cleaned after the case as well.
    ///
    /// # Errors
    /// None in practice.
    pub fn another_namespace(&self) -> CaseResult<Namespace> {
        let namespace = new_namespace()?;
        self.clean_later(&namespace);
        Ok(namespace)
    }

    /// Has that namespace cleaned after the case as well.
    pub fn clean_later(&self, namespace: &Namespace) {
        self.namespaces().push(namespace.clone());
    }

    fn namespaces(&self) -> MutexGuard<'_, Vec<Namespace>> {
        self.shared.namespaces.lock()
    }

    pub(crate) fn used_namespaces(&self) -> Vec<Namespace> {
        self.namespaces().clone()
    }

    /// Another independent client of the case's namespace.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub async fn open(&self) -> CaseResult<Client> {
        self.open_in(self.namespace()).await
    }

    /// Another independent client of that namespace.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub async fn open_in(&self, namespace: &Namespace) -> CaseResult<Client> {
        Ok(Client::new(self.backend().open(namespace).await?))
    }

    /// That many independent clients of the case's namespace.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub async fn open_many(&self, count: usize) -> CaseResult<Vec<Client>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(self.open().await?);
        }
        Ok(clients)
    }

    /// A lock name of the case.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[allow(clippy::expect_used, reason = "cases write their names down")]
    pub fn name(&self, name: &str) -> LockName {
        LockName::new(name).expect("a lock name")
    }

    /// The factor by which short leases are lengthened: more than 1 after the machine stalled.
    #[must_use]
    pub fn pace(&self) -> u32 {
        self.shared.pace
    }

    /// A ttl to wait out.
    #[must_use]
    pub fn short_ttl(&self) -> Duration {
        self.in_steps(Self::SHORT * self.pace())
    }

    /// A ttl that does not run out during a case.
    #[must_use]
    pub fn long_ttl(&self) -> Duration {
        self.in_steps(Self::LONG)
    }

    /// The least ttl that the store grants of at least `ttl`, in whole steps of its clock.
    #[must_use]
    pub fn in_steps(&self, ttl: Duration) -> Duration {
        let Capabilities { min_ttl, ttl_step, .. } = self.capabilities();
        let ttl = ttl.max(min_ttl);
        let step = ttl_step.as_nanos().max(1);
        let whole = ttl.as_nanos().div_ceil(step) * step;
        u64::try_from(whole).map_or(MAX_TTL, Duration::from_nanos).min(MAX_TTL)
    }

    /// By how much what a store says is left may be rounded up, for its clock counts in steps.
    #[must_use]
    pub fn coarseness(&self) -> Duration {
        self.capabilities().ttl_step
    }

    /// How late the store may notice that a lease is over: one that counts in long steps may look
    /// only now and then.
    #[must_use]
    pub fn end_noticed(&self) -> Duration {
        if self.coarseness() < Duration::from_secs(1) {
            Duration::ZERO
        } else {
            Self::EXPIRY_NOTICED
        }
    }

    /// How long to wait for a hint that comes in ordinary operation.
    #[must_use]
    pub fn hint_patience(&self) -> Duration {
        Duration::from_secs(45)
            + match self.capabilities().wake {
                Wake::Push => Duration::ZERO,
                Wake::Poll(interval) => interval * 3,
            }
    }

    /// A time within which the hint of an earlier change has come, as good as always.
    #[must_use]
    pub fn hint_window(&self) -> Duration {
        Duration::from_millis(200)
            + match self.capabilities().wake {
                Wake::Push => Duration::ZERO,
                Wake::Poll(interval) => interval * 2,
            }
    }

    /// Waits until the store says that no lease of the name is in force.
    ///
    /// # Errors
    /// When the lease outlasts what was left of it by far.
    pub async fn until_over(&self, client: &Client, name: &LockName) -> CaseResult {
        let mut end = None;
        while let Some(lease) = client.lease_of(name).await? {
            let end = *end.get_or_insert(Instant::now() + lease.left + Self::OVER_PATIENCE);
            if Instant::now() > end {
                return Err(Failure::new(format!("the lease of {name:?} does not run out")));
            }
            tokio::time::sleep(lease.left.clamp(Duration::from_millis(5), Self::SHORT)).await;
        }
        Ok(())
    }
}

/// Unique among the cases of a run, and among runs that share a server.
pub(crate) fn new_namespace() -> CaseResult<Namespace> {
    Ok(Namespace::new(format!("case_{:016x}", fastrand::u64(..)))?)
}
