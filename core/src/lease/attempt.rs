//! When an acquire attempt is dropped, it releases the lease that it may have been granted.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tracing::debug;

use crate::engine::{Engine, LocalHolder, TimedReply};
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
    /// A dropped attempt releases the lease in this runtime, because the caller's threads may be
    /// busy.
    background: Handle,
    name: LockName,
    lease: LeaseId,
    may_be_granted: bool,
    timing: Arc<Timing>,
    /// A guard has the lease. The client's waiters do not ask for the lock until its release was
    /// answered or has failed.
    holder: Option<LocalHolder>,
}

impl AcquireAttempt {
    /// Creates an attempt. This must be called within a runtime.
    pub(crate) fn new(engine: Arc<Engine>, name: LockName, timing: Arc<Timing>) -> Self {
        let (background, lease) = (engine.background.runtime(), engine.lease_id());
        let (may_be_granted, holder) = (false, None);
        Self { engine, background, name, lease, may_be_granted, timing, holder }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn name(&self) -> &LockName {
        &self.name
    }

    pub(crate) fn timing(&self) -> &Arc<Timing> {
        &self.timing
    }

    pub(crate) fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Requests the lease, or retries the request under the same id. This must be called within a
    /// runtime.
    ///
    /// # Cancel safety
    /// A request that was sent runs to its end in the background if its future is dropped, and its
    /// grant is then released. If it were cut off instead, the release could overtake it, and the
    /// lease would stay granted without a holder.
    pub(crate) fn send(mut self) -> AcquireCall {
        let caller = Handle::current();
        let call = async move {
            // An earlier request for the same lease may have been granted.
            let was_uncertain = std::mem::replace(&mut self.may_be_granted, true);
            let (lease, holder) = (self.lease, self.engine.holder.clone());
            let options = AcquireOptions { lease, holder, ttl: self.timing.ttl };
            let (sent, limit) = (self.engine.now(), self.timing.call_limit());
            let acquire = self.engine.store.acquire(&self.name, &options, limit);
            // A panic, such as one of a metrics recorder, must not end the caller's task.
            let reply = AssertUnwindSafe(acquire).catch_unwind().await.unwrap_or_else(|_| {
                let error = Error::new(ErrorKind::OutcomeUnknown, "the call panicked");
                let error = error.during("acquire").for_lock(&self.name);
                TimedReply { sent, outcome: Err(error.on_store(self.engine.store.label())) }
            });
            match reply.outcome {
                // This refuses neither an earlier abandoned request, which may still arrive, nor a
                // lease that was granted before the name was disabled.
                Ok(AcquireOutcome::Held(_) | AcquireOutcome::Disabled(_)) => {
                    self.may_be_granted = was_uncertain;
                }
                Ok(AcquireOutcome::Granted(_)) | Err(_) => {}
            }
            (self, reply)
        };
        AcquireCall { call: Some(call.boxed()), caller, sent: false }
    }

    /// Lets the lease expire: it is not released, not even when the attempt is dropped.
    pub(crate) fn never_release(&mut self) {
        self.may_be_granted = false;
    }

    /// Notes that a guard has the lease from now on.
    pub(crate) fn set_holder(&mut self, holder: LocalHolder) {
        self.holder = Some(holder);
    }

    /// Releases the lease. After an error the release is retried once when the attempt is dropped.
    pub(crate) async fn release(&mut self, limit: Duration) -> Result<ReleaseOutcome> {
        let released = self.engine.store.release(&self.name, self.lease, limit).await;
        self.may_be_granted &= released.is_err();
        // After an error the store tells the waiter whether the lock is still held.
        wake_next(self.holder.take(), &self.engine, &self.name);
        released
    }
}

impl Drop for AcquireAttempt {
    fn drop(&mut self) {
        if !self.may_be_granted {
            return;
        }
        let (engine, name) = (self.engine.clone(), self.name.clone());
        let (lease, limit, holder) = (self.lease, self.timing.call_limit(), self.holder.take());
        // This is best effort: a runtime that shuts down drops the task, and the lease expires.
        self.background.spawn(async move {
            if let Err(error) = engine.store.release(&name, lease, limit).await {
                debug!(%error, "could not release a dropped lease; it will expire");
            }
            wake_next(holder, &engine, &name);
        });
    }
}

/// Lets the client's next waiter for the lock ask, because a release has ended.
fn wake_next(holder: Option<LocalHolder>, engine: &Engine, name: &LockName) {
    match holder {
        // Dropping it wakes the waiter.
        Some(holder) => drop(holder),
        None => engine.local_queues.wake_first(name),
    }
}

/// An acquire call is a request for a lease that is in progress.
///
/// The caller's own task polls it, so an uncontended acquire needs no other task. A call that is
/// dropped after it was sent continues in a task of its own.
pub(crate) struct AcquireCall {
    /// `None` once the reply was returned.
    call: Option<BoxFuture<'static, (AcquireAttempt, TimedReply<AcquireOutcome>)>>,
    /// A call whose caller no longer waits continues in this runtime, in which it was sent.
    caller: Handle,
    sent: bool,
}

impl Future for AcquireCall {
    type Output = (AcquireAttempt, TimedReply<AcquireOutcome>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { call, sent, .. } = &mut *self;
        let Some(running) = call else { return Poll::Pending };
        *sent = true;
        let reply = ready!(running.as_mut().poll(context));
        *call = None;
        Poll::Ready(reply)
    }
}

impl Drop for AcquireCall {
    fn drop(&mut self) {
        // A call that was never polled has sent nothing.
        if let (Some(call), true) = (self.call.take(), self.sent) {
            self.caller.spawn(call.map(drop));
        }
    }
}
