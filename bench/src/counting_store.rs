//! This store wraps another one and counts the calls by operation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold::intercept::{Interceptor, Reply, Request};
use leasehold::{LockStore, Result, async_trait};

use crate::monotonic;

/// The numbers of calls by operation, such as `acquire`.
pub(crate) type Calls = BTreeMap<String, u64>;

/// These operations are counted: all that a client sends on its own.
const OPERATIONS: [&str; 10] = [
    "acquire",
    "announce",
    "enter",
    "get",
    "instances",
    "leave",
    "release",
    "renew",
    "watch",
    "withdraw",
];

/// A renewal is one call to `renew`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewal {
    pub(crate) started: Duration,
    pub(crate) ended: Duration,
    pub(crate) leases: usize,
}

/// A counting store sends every call to the wrapped store.
#[derive(Debug)]
pub(crate) struct CountingStore {
    inner: Arc<dyn LockStore>,
    counts: [AtomicU64; OPERATIONS.len()],
    renewals: Mutex<Vec<Renewal>>,
}

impl CountingStore {
    pub(crate) fn new(inner: Arc<dyn LockStore>) -> Self {
        Self { inner, counts: Default::default(), renewals: Mutex::default() }
    }

    /// Returns the calls so far.
    pub(crate) fn calls(&self) -> Calls {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        OPERATIONS.iter().map(|operation| (*operation).to_owned()).zip(counts).collect()
    }

    /// Returns the renewals that ended since the last call of this method, in the order in which
    /// they started.
    pub(crate) fn take_renewals(&self) -> Vec<Renewal> {
        let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut renewals = std::mem::take(&mut *renewals);
        renewals.sort_by_key(|renewal| renewal.started);
        renewals
    }
}

/// Returns the calls between two moments. Operations without calls are left out.
pub(crate) fn calls_between(before: &Calls, after: &Calls) -> Calls {
    let since = |(operation, count): (&String, &u64)| {
        let calls = count - before.get(operation).copied().unwrap_or_default();
        (calls > 0).then(|| (operation.clone(), calls))
    };
    after.iter().filter_map(since).collect()
}

#[async_trait]
impl Interceptor for CountingStore {
    fn inner(&self) -> &dyn LockStore {
        &*self.inner
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        let operation = request.operation();
        if let Some(at) = OPERATIONS.iter().position(|known| *known == operation) {
            self.counts[at].fetch_add(1, Ordering::Relaxed);
        }
        let Request::Renew(leases) = &request else { return request.send_to(self.inner()).await };
        let (leases, started) = (leases.len(), monotonic::now());
        let reply = request.send_to(self.inner()).await;
        let renewal = Renewal { started, ended: monotonic::now(), leases };
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner).push(renewal);
        reply
    }
}
