//! This store wraps another one and records each call to `renew`.

use std::sync::Arc;
use std::time::Instant;

use leasehold::intercept::{Interceptor, Reply, Request};
use leasehold::{LockStore, Result, async_trait};
use parking_lot::Mutex;

/// A call is one call to [`LockStore::renew`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    pub(crate) leases: usize,
}

/// A counting store sends every call to the wrapped store, and records the renewals.
#[derive(Debug)]
pub(crate) struct CountingStore {
    inner: Arc<dyn LockStore>,
    calls: Mutex<Vec<Call>>,
}

impl CountingStore {
    pub(crate) fn new(inner: Arc<dyn LockStore>) -> Self {
        Self { inner, calls: Mutex::default() }
    }

    /// Returns the calls since the last call of this method, in the order in which they started.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        let mut calls = std::mem::take(&mut *self.calls.lock());
        calls.sort_by_key(|call| call.started);
        calls
    }
}

#[async_trait]
impl Interceptor for CountingStore {
    fn inner(&self) -> &dyn LockStore {
        &*self.inner
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        let leases = match &request {
            Request::Renew(leases) => Some(leases.len()),
            _ => None,
        };
        let started = Instant::now();
        let reply = request.send_to(self.inner()).await;
        if let Some(leases) = leases {
            self.calls.lock().push(Call { started, ended: Instant::now(), leases });
        }
        reply
    }
}
