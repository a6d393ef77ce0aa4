//! This wrapper puts a time limit on every call to the store, and names the store and the lock in
//! its errors.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tracing::field::Empty;
use tracing::{Instrument, debug_span};
use uuid::Uuid;

use super::Outages;
use crate::telemetry::{ClientMetrics, call_outcome};
use crate::{
    AcquireOptions, AcquireOutcome, Clock, DisableOptions, DisableOutcome, EnableOutcome,
    EnterOptions, Error, ErrorKind, InstanceRecord, LeaseId, ListOptions, LockName, LockRecord,
    LockStore, LockStoreExt, Moment, Presence, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

/// A timed reply is the store's reply and the moment of the request, from which trust is counted.
#[derive(Clone, Debug)]
pub(crate) struct TimedReply<T> {
    pub(crate) sent: Moment,
    pub(crate) outcome: Result<T>,
}

/// A bounded store wraps a store and puts a time limit on every call.
#[derive(Clone, Debug)]
pub(crate) struct BoundedStore {
    inner: Arc<dyn LockStore>,
    label: Arc<str>,
    clock: Arc<dyn Clock>,
    metrics: Arc<ClientMetrics>,
    outages: Arc<Outages>,
}

impl BoundedStore {
    pub(crate) fn new(store: Arc<dyn LockStore>, clock: Arc<dyn Clock>) -> Self {
        let label: Arc<str> = store.label().into();
        let outages = Arc::new(Outages::new(label.clone()));
        Self { inner: store, label, clock, metrics: Arc::new(ClientMetrics::new()), outages }
    }

    /// Returns the store's label for messages.
    pub(crate) fn label(&self) -> &Arc<str> {
        &self.label
    }

    pub(crate) fn outages(&self) -> &Outages {
        &self.outages
    }

    pub(crate) fn inner(&self) -> &Arc<dyn LockStore> {
        &self.inner
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(crate) fn metrics(&self) -> &Arc<ClientMetrics> {
        &self.metrics
    }

    pub(crate) async fn acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        limit: Duration,
    ) -> TimedReply<AcquireOutcome> {
        let call = self.inner.acquire(name, options);
        self.with_limit("acquire", Some(name), limit, ErrorKind::OutcomeUnknown, call).await
    }

    pub(crate) async fn enter(
        &self,
        name: &LockName,
        options: &EnterOptions,
        limit: Duration,
    ) -> TimedReply<AcquireOutcome> {
        let call = self.inner.enter(name, options);
        self.with_limit("enter", Some(name), limit, ErrorKind::OutcomeUnknown, call).await
    }

    pub(crate) async fn leave(
        &self,
        name: &LockName,
        lease: LeaseId,
        limit: Duration,
    ) -> Result<ReleaseOutcome> {
        let call = self.inner.leave(name, lease);
        self.with_limit("leave", Some(name), limit, ErrorKind::OutcomeUnknown, call).await.outcome
    }

    pub(crate) async fn renew(
        &self,
        leases: &[RenewOptions],
        limit: Duration,
    ) -> TimedReply<Vec<RenewOutcome>> {
        let name = match leases {
            [only] => Some(&only.name),
            _ => None,
        };
        let call = self.inner.renew(leases);
        let reply = self.with_limit("renew", name, limit, ErrorKind::OutcomeUnknown, call).await;
        let outcome = reply.outcome.and_then(|outcomes| {
            if outcomes.len() == leases.len() {
                Ok(outcomes)
            } else {
                let (got, asked) = (outcomes.len(), leases.len());
                let message = format!("the store returned {got} answers for {asked} renewals");
                Err(Error::new(ErrorKind::Corrupt, message)
                    .during("renew")
                    .on_store(self.inner.label()))
            }
        });
        TimedReply { outcome, ..reply }
    }

    pub(crate) async fn release(
        &self,
        name: &LockName,
        lease: LeaseId,
        limit: Duration,
    ) -> Result<ReleaseOutcome> {
        let call = self.inner.release(name, lease);
        self.with_limit("release", Some(name), limit, ErrorKind::OutcomeUnknown, call).await.outcome
    }

    pub(crate) async fn get(&self, name: &LockName, limit: Duration) -> Result<Option<LockRecord>> {
        let call = self.inner.get(name);
        self.with_limit("get", Some(name), limit, ErrorKind::Unavailable, call).await.outcome
    }

    pub(crate) async fn announce(
        &self,
        presence: &Presence,
        lifetime: Duration,
        limit: Duration,
    ) -> Result<()> {
        let call = self.inner.announce(presence, lifetime);
        self.with_limit("announce", None, limit, ErrorKind::OutcomeUnknown, call).await.outcome
    }

    pub(crate) async fn withdraw(&self, instance: Uuid, limit: Duration) -> Result<()> {
        let call = self.inner.withdraw(instance);
        self.with_limit("withdraw", None, limit, ErrorKind::OutcomeUnknown, call).await.outcome
    }

    pub(crate) async fn instances(&self, limit: Duration) -> Result<Vec<InstanceRecord>> {
        let call = self.inner.instances();
        self.with_limit("instances", None, limit, ErrorKind::Unavailable, call).await.outcome
    }

    pub(crate) async fn list(&self, limit: Duration) -> Result<Vec<LockRecord>> {
        let call = self.inner.list_all("");
        self.with_limit("list", None, limit, ErrorKind::Unavailable, call).await.outcome
    }

    pub(crate) async fn list_page(
        &self,
        options: &ListOptions,
        limit: Duration,
    ) -> Result<Vec<LockRecord>> {
        let call = self.inner.list(options);
        self.with_limit("list", None, limit, ErrorKind::Unavailable, call).await.outcome
    }

    pub(crate) async fn disable(
        &self,
        name: &LockName,
        options: &DisableOptions,
        limit: Duration,
    ) -> Result<DisableOutcome> {
        let call = self.inner.disable(name, options);
        self.with_limit("disable", Some(name), limit, ErrorKind::OutcomeUnknown, call).await.outcome
    }

    pub(crate) async fn enable(&self, name: &LockName, limit: Duration) -> Result<EnableOutcome> {
        let call = self.inner.enable(name);
        self.with_limit("enable", Some(name), limit, ErrorKind::OutcomeUnknown, call).await.outcome
    }

    /// Makes a call that takes at most `limit`. `late` is the error kind if there is no reply in
    /// time.
    async fn with_limit<T>(
        &self,
        operation: &'static str,
        name: Option<&LockName>,
        limit: Duration,
        late: ErrorKind,
        call: impl Future<Output = Result<T>>,
    ) -> TimedReply<T> {
        let sent = self.clock.now();
        let limited = async {
            tokio::select! {
                biased;
                outcome = AssertUnwindSafe(call).catch_unwind() => outcome.unwrap_or_else(|_| {
                    Err(Error::new(late, "the store panicked"))
                }),
                () = self.clock.sleep_until(sent + limit) => {
                    Err(Error::new(late, format!("no reply within {limit:?}")))
                }
            }
        };
        let outcome = self.traced(operation, name, limited).await.map_err(|error| {
            let error = error.during(operation).on_store(self.inner.label());
            name.map_or(error.clone(), |name| error.for_lock(name))
        });
        match &outcome {
            Ok(_) => self.outages.record_success(operation, self.clock.now()),
            Err(error) => self.outages.record_failure(error, self.clock.now()),
        }
        TimedReply { sent, outcome }
    }

    /// Returns the call's reply, and records its span and metrics; a dropped call records nothing.
    pub(crate) async fn traced<T>(
        &self,
        operation: &'static str,
        name: Option<&LockName>,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let lock = name.map(LockName::as_str);
        let store = self.inner.label();
        let span = debug_span!("store_call", operation, lock, store, outcome = Empty);
        let sent = self.clock.now();
        let reply = call.instrument(span.clone()).await;
        let outcome = call_outcome(&reply);
        span.record("outcome", outcome);
        self.metrics.record_call(operation, outcome, self.clock.now().saturating_since(sent));
        reply
    }
}
