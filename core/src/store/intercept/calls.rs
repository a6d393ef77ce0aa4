//! Each call to an interceptor's method becomes a request, and its reply the method's return value.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Interceptor, Reply, Request};
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    EnterOptions, Error, ErrorKind, HintStream, InstanceRecord, LeaseId, ListOptions, LockName,
    LockRecord, LockStore, Presence, PruneOptions, ReleaseOptions, ReleaseOutcome, RenewOptions,
    RenewOutcome, Result,
};

/// Intercepts a call, and returns the value that the reply contains.
macro_rules! intercept {
    ($store:expr, $request:expr, $reply:pat => $returned:expr) => {{
        let call: Request = $request;
        let operation = call.operation();
        match $store.intercept(call).await? {
            $reply => Ok($returned),
            _ => Err(wrong_reply(operation)),
        }
    }};
}

fn wrong_reply(operation: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, "the interceptor returned the reply to another call")
        .during(operation)
}

/// Returns one outcome each; an error applies to all.
fn one_each<T>(outcomes: Result<Vec<Result<T>>>, count: usize) -> Vec<Result<T>> {
    outcomes.unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect())
}

#[async_trait]
impl<I: Interceptor> LockStore for I {
    fn label(&self) -> &str {
        self.store_label()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities()
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let request = Request::Acquire(name.clone(), options.clone());
        intercept!(self, request, Reply::Acquire(outcome) => outcome)
    }

    async fn acquire_many(
        &self,
        attempts: &[(LockName, AcquireOptions)],
    ) -> Vec<Result<AcquireOutcome>> {
        let request = Request::AcquireMany(attempts.to_vec());
        let reply: Result<Vec<_>> =
            async { intercept!(self, request, Reply::AcquireMany(outcomes) => outcomes) }.await;
        one_each(reply, attempts.len())
    }

    async fn enter(&self, name: &LockName, options: &EnterOptions) -> Result<AcquireOutcome> {
        let request = Request::Enter(name.clone(), options.clone());
        intercept!(self, request, Reply::Enter(outcome) => outcome)
    }

    async fn leave(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let request = Request::Leave(name.clone(), lease);
        intercept!(self, request, Reply::Leave(outcome) => outcome)
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        intercept!(self, Request::Renew(leases.to_vec()), Reply::Renew(outcomes) => outcomes)
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let request = Request::Release(name.clone(), lease);
        intercept!(self, request, Reply::Release(outcome) => outcome)
    }

    async fn release_many(&self, leases: &[ReleaseOptions]) -> Vec<Result<ReleaseOutcome>> {
        let request = Request::ReleaseMany(leases.to_vec());
        let reply: Result<Vec<_>> =
            async { intercept!(self, request, Reply::ReleaseMany(outcomes) => outcomes) }.await;
        one_each(reply, leases.len())
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let request = Request::Disable(name.clone(), options.clone());
        intercept!(self, request, Reply::Disable(outcome) => outcome)
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        intercept!(self, Request::Enable(name.clone()), Reply::Enable(outcome) => outcome)
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        intercept!(self, Request::Get(name.clone()), Reply::Get(record) => record)
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        intercept!(self, Request::List(options.clone()), Reply::List(records) => records)
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        intercept!(self, Request::Prune(options.clone()), Reply::Prune(names) => names)
    }

    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        intercept!(self, Request::Announce(presence.clone(), ttl), Reply::Announce => ())
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        intercept!(self, Request::Withdraw(instance), Reply::Withdraw => ())
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        intercept!(self, Request::Instances, Reply::Instances(records) => records)
    }

    async fn watch(&self) -> Result<HintStream> {
        intercept!(self, Request::Watch, Reply::Watch(hints) => hints)
    }
}
