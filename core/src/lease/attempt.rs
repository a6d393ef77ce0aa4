//! When an acquire attempt is dropped, it releases the lease that it may have been granted.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::debug;

use crate::engine::{Engine, TimedReply};
use crate::{
    AcquireOptions, AcquireOutcome, Error, ErrorKind, LeaseId, LockName, ReleaseOutcome, Result,
    Timing,
};

/// An attempt is one acquisition and the lease that it may have been granted.
///
/// From the first request until the store refuses the lease, dropping the attempt releases it. So a
/// cancelled acquire and a dropped guard leave no lock held for the rest of its ttl.
#[derive(Debug)]
pub(crate) struct AcquireAttempt {
    engine: Arc<Engine>,
    /// Acquire requests are sent in this runtime.
    caller: Handle,
    /// A dropped attempt releases the lease in this runtime, because the caller's threads may be
    /// busy.
    background: Handle,
    name: LockName,
    lease: LeaseId,
    may_be_granted: bool,
    limit: Duration,
}

impl AcquireAttempt {
    /// Creates an attempt. This must be called within a runtime.
    pub(crate) fn new(engine: Arc<Engine>, name: LockName, timing: &Timing) -> Self {
        let (caller, background) = (Handle::current(), engine.background.runtime());
        let (lease, limit) = (engine.lease_id(), timing.call_limit());
        Self { engine, caller, background, name, lease, may_be_granted: false, limit }
    }

    pub(crate) fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Requests the lease, or retries the request under the same id.
    ///
    /// # Cancel safety
    /// The request runs to its end in the background, and its grant is then released. If it were
    /// cut off instead, the release could overtake it, and the lease would stay granted without a
    /// holder.
    pub(crate) async fn send(mut self, ttl: Duration) -> (Self, TimedReply<AcquireOutcome>) {
        let (send, receive) = oneshot::channel();
        let (caller, background) = (self.caller.clone(), self.background.clone());
        let sent = self.engine.now();
        let (engine, name, limit) = (self.engine.clone(), self.name.clone(), self.limit);
        // An earlier request for the same lease may have been granted.
        let was_uncertain = std::mem::replace(&mut self.may_be_granted, true);
        self.caller.clone().spawn(async move {
            let options =
                AcquireOptions { lease: self.lease, holder: self.engine.holder.clone(), ttl };
            let reply = self.engine.store.acquire(&self.name, &options, self.limit).await;
            match reply.outcome {
                // This refuses neither an earlier abandoned request, which may still arrive, nor a
                // lease that was granted before the name was disabled.
                Ok(AcquireOutcome::Held(_) | AcquireOutcome::Disabled(_)) => {
                    self.may_be_granted = was_uncertain;
                }
                Ok(AcquireOutcome::Granted(_)) | Err(_) => {}
            }
            // If the caller no longer waits, the attempt comes back here and is dropped.
            drop(send.send((self, reply)));
        });
        // The sender is dropped unused only if the runtime shuts down or the store panics.
        receive.await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::OutcomeUnknown, "the call ended without a reply")
                .during("acquire")
                .for_lock(&name)
                .on_store(engine.store.inner().label());
            let lease = engine.lease_id();
            let attempt =
                Self { engine, caller, background, name, lease, may_be_granted: false, limit };
            (attempt, TimedReply { sent, outcome: Err(error) })
        })
    }

    /// Lets the lease expire: it is not released, not even when the attempt is dropped.
    pub(crate) fn never_release(&mut self) {
        self.may_be_granted = false;
    }

    /// Releases the lease. After an error the release is retried once when the attempt is dropped.
    pub(crate) async fn release(&mut self, limit: Duration) -> Result<ReleaseOutcome> {
        let outcome = self.engine.store.release(&self.name, self.lease, limit).await?;
        self.may_be_granted = false;
        Ok(outcome)
    }
}

impl Drop for AcquireAttempt {
    fn drop(&mut self) {
        if !self.may_be_granted {
            return;
        }
        let (engine, name) = (self.engine.clone(), self.name.clone());
        let (lease, limit) = (self.lease, self.limit);
        // This is best effort: a runtime that shuts down drops the task, and the lease expires.
        self.background.spawn(async move {
            if let Err(error) = engine.store.release(&name, lease, limit).await {
                debug!(%error, "could not release a dropped lease; it will expire");
            }
        });
    }
}
