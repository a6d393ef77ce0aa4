//! This module defines the context that each case receives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_core::{Capabilities, LockName, MAX_TTL, Namespace, Wake};
use parking_lot::{Mutex, MutexGuard};

use crate::{Backend, CaseResult, Client, Failure};

/// The context of a case has a backend, and a namespace in it that no other case uses.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "it holds a trait object")]
pub struct Ctx {
    shared: Arc<Shared>,
}

struct Shared {
    backend: Arc<dyn Backend>,
    capabilities: Capabilities,
    pace: u32,
    /// The case's own namespace comes first, then those that it asked for. All are cleaned after
    /// the case.
    namespaces: Mutex<Vec<Namespace>>,
    namespace: Namespace,
}

impl Ctx {
    /// This is a short ttl: a busy machine can make a few calls within it, and a case can wait for
    /// its end.
    const SHORT: Duration = Duration::from_millis(300);

    /// This is a long ttl: no case takes that long.
    const LONG: Duration = Duration::from_secs(330);

    /// A store may notice that a lease has expired this much late.
    const EXPIRY_NOTICED: Duration = Duration::from_secs(20);

    /// A lease may last this much longer than its remaining time before a case fails.
    const EXPIRY_LIMIT: Duration = Duration::from_secs(90);

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

    /// Returns the backend that the case tests.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    /// Returns the capabilities of the store.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.shared.capabilities
    }

    /// Returns the case's own namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.shared.namespace
    }

    /// Creates another namespace, which is cleaned after the case as well.
    ///
    /// # Errors
    /// It does not fail in practice.
    pub fn another_namespace(&self) -> CaseResult<Namespace> {
        let namespace = new_namespace()?;
        self.clean_later(&namespace);
        Ok(namespace)
    }

    /// Marks that namespace to be cleaned after the case as well.
    pub fn clean_later(&self, namespace: &Namespace) {
        self.namespaces().push(namespace.clone());
    }

    fn namespaces(&self) -> MutexGuard<'_, Vec<Namespace>> {
        self.shared.namespaces.lock()
    }

    pub(crate) fn used_namespaces(&self) -> Vec<Namespace> {
        self.namespaces().clone()
    }

    /// Opens another independent client of the case's namespace.
    ///
    /// # Errors
    /// Returns an error if the store cannot be opened.
    pub async fn open(&self) -> CaseResult<Client> {
        self.open_in(self.namespace()).await
    }

    /// Opens another independent client of that namespace.
    ///
    /// # Errors
    /// Returns an error if the store cannot be opened.
    pub async fn open_in(&self, namespace: &Namespace) -> CaseResult<Client> {
        Ok(Client::new(self.backend().open(namespace).await?))
    }

    /// Opens that many independent clients of the case's namespace.
    ///
    /// # Errors
    /// Returns an error if the store cannot be opened.
    pub async fn open_many(&self, count: usize) -> CaseResult<Vec<Client>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(self.open().await?);
        }
        Ok(clients)
    }

    /// Returns a lock name for the case.
    ///
    /// # Panics
    /// It panics if the text is not a valid lock name.
    #[must_use]
    #[allow(clippy::expect_used, reason = "the names in cases are literals")]
    pub fn name(&self, name: &str) -> LockName {
        LockName::new(name).expect("a lock name")
    }

    /// Returns the factor by which short leases are lengthened. It is more than 1 after the machine
    /// stalled.
    #[must_use]
    pub fn pace(&self) -> u32 {
        self.shared.pace
    }

    /// Returns a ttl that is short enough to wait for its end.
    #[must_use]
    pub fn short_ttl(&self) -> Duration {
        self.in_steps(Self::SHORT * self.pace())
    }

    /// Returns a ttl that does not expire during a case.
    #[must_use]
    pub fn long_ttl(&self) -> Duration {
        self.in_steps(Self::LONG)
    }

    /// Returns the smallest ttl of at least `ttl` that the store grants, in whole steps of its
    /// clock.
    #[must_use]
    pub fn in_steps(&self, ttl: Duration) -> Duration {
        let Capabilities { min_ttl, ttl_step, .. } = self.capabilities();
        let ttl = ttl.max(min_ttl);
        let step = ttl_step.as_nanos().max(1);
        let whole = ttl.as_nanos().div_ceil(step) * step;
        u64::try_from(whole).map_or(MAX_TTL, Duration::from_nanos).min(MAX_TTL)
    }

    /// Returns by how much the store may round up the time that is left, because its clock counts
    /// in steps.
    #[must_use]
    pub fn coarseness(&self) -> Duration {
        self.capabilities().ttl_step
    }

    /// Returns how late the store may notice that a lease has expired. A store that counts in long
    /// steps may check for it only from time to time.
    #[must_use]
    pub fn end_noticed(&self) -> Duration {
        if self.coarseness() < Duration::from_secs(1) {
            Duration::ZERO
        } else {
            Self::EXPIRY_NOTICED
        }
    }

    /// Returns how long to wait for a hint that is sent in ordinary operation.
    #[must_use]
    pub fn hint_patience(&self) -> Duration {
        Duration::from_secs(45)
            + match self.capabilities().wake {
                Wake::Poll(interval) => interval * 3,
                _ => Duration::ZERO,
            }
    }

    /// Returns a time within which the hint of an earlier change has almost always arrived.
    #[must_use]
    pub fn hint_window(&self) -> Duration {
        Duration::from_millis(200)
            + match self.capabilities().wake {
                Wake::Poll(interval) => interval * 2,
                _ => Duration::ZERO,
            }
    }

    /// Waits until the store reports that no lease of the name is in force.
    ///
    /// # Errors
    /// Returns a failure if the lease lasts much longer than the time that was left of it.
    pub async fn until_over(&self, client: &Client, name: &LockName) -> CaseResult {
        let mut end = None;
        while let Some(lease) = client.lease_of(name).await? {
            let end = *end.get_or_insert(Instant::now() + lease.left + Self::EXPIRY_LIMIT);
            if Instant::now() > end {
                return Err(Failure::new(format!("the lease of {name:?} does not expire")));
            }
            tokio::time::sleep(lease.left.clamp(Duration::from_millis(5), Self::SHORT)).await;
        }
        Ok(())
    }
}

/// Returns a namespace that is unique among the cases of a run and among runs that share a server.
pub(crate) fn new_namespace() -> CaseResult<Namespace> {
    Ok(Namespace::new(format!("case_{:016x}", fastrand::u64(..)))?)
}
