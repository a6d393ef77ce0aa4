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

use super::EntryOptions;
use crate::engine::{Engine, LocalHolder, TimedReply};
use crate::{
    AcquireOptions, AcquireOutcome, Error, ErrorKind, LeaseId, LockName, ReleaseOutcome, Result,
    Timing,
};

/// An attempt is one acquisition and the lease that it may have been granted.
///
/// From the first request until the store refuses the lease, dropping the attempt releases it. So a
/// cancelled acquire and a dropped guard leave no lock held for the rest of its ttl, and no entry in
/// a queue.
#[derive(Debug)]
pub(crate) struct AcquireAttempt {
    engine: Arc<Engine>,
    /// A dropped attempt releases the lease in this runtime, because the caller's threads may be
    /// busy.
    background: Handle,
    name: LockName,
    lease: LeaseId,
    /// The lease is that of an entry in the queue of the name.
    is_entry: bool,
    may_be_granted: bool,
    timing: Arc<Timing>,
    /// A guard has the lease. The client's waiters do not ask for the lock until its release was
    /// answered or has failed.
    holder: Option<LocalHolder>,
}

impl AcquireAttempt {
    /// Creates an attempt, which enters a queue or acquires an exclusive lease. This must be called
    /// within a runtime.
    pub(crate) fn new(
        engine: Arc<Engine>,
        name: LockName,
        timing: Arc<Timing>,
        is_entry: bool,
    ) -> Self {
        let (background, lease) = (engine.background.runtime(), engine.lease_id());
        let (may_be_granted, holder) = (false, None);
        Self { engine, background, name, lease, is_entry, may_be_granted, timing, holder }
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

    /// Returns whether the lease is that of an entry in the queue of the name.
    pub(crate) fn is_entry(&self) -> bool {
        self.is_entry
    }

    /// Requests the lease, or that of an entry with these options, or retries the request under the
    /// same id. This must be called within a runtime.
    ///
    /// # Cancel safety
    /// A request that was sent runs to its end in the background if its future is dropped, and its
    /// grant is then released. If it were cut off instead, the release could overtake it, and the
    /// lease would stay granted without a holder.
    pub(crate) fn send(mut self, entry: Option<EntryOptions>) -> AcquireCall {
        let (caller, lease) = (Handle::current(), self.lease);
        let call = async move {
            // An earlier request for the same lease may have been granted.
            let was_uncertain = std::mem::replace(&mut self.may_be_granted, true);
            let sent = self.engine.now();
            // A panic, such as one of a metrics recorder, must not end the caller's task.
            let request = AssertUnwindSafe(self.request(entry));
            let reply = request.catch_unwind().await.unwrap_or_else(|_| {
                let operation = if self.is_entry { "enter" } else { "acquire" };
                let error = Error::new(ErrorKind::OutcomeUnknown, "the call panicked");
                let error = error.during(operation).for_lock(&self.name);
                TimedReply { sent, outcome: Err(error.on_store(self.engine.store.label())) }
            });
            match &reply.outcome {
                // This refuses neither an earlier abandoned request, which may still arrive, nor a
                // lease that was granted before the name was disabled.
                Ok(AcquireOutcome::Held(_) | AcquireOutcome::Disabled(_)) => {
                    self.may_be_granted = was_uncertain;
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    self.may_be_granted = was_uncertain;
                }
                Ok(AcquireOutcome::Granted(_) | AcquireOutcome::Queued(_)) | Err(_) => {}
            }
            (self, reply)
        };
        AcquireCall { call: Some(call.boxed()), lease, caller, sent: false }
    }

    /// Makes the call to the store.
    async fn request(&self, entry: Option<EntryOptions>) -> TimedReply<AcquireOutcome> {
        let (engine, limit) = (&*self.engine, self.timing.call_limit());
        let (lease, holder, ttl) = (self.lease, engine.holder.clone(), self.timing.ttl);
        match entry {
            None => {
                let options = AcquireOptions { lease, holder, ttl };
                engine.store.acquire(&self.name, &options, limit).await
            }
            Some(entry) => {
                let options = entry.enter(lease, holder, ttl);
                engine.store.enter(&self.name, &options, limit).await
            }
        }
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
        let Self { engine, name, lease, is_entry, .. } = &*self;
        let released = end_lease(engine, name, *lease, *is_entry, limit).await;
        self.may_be_granted &= released.is_err();
        // After an error the store tells the waiter whether the lock is still held.
        wake_next(self.holder.take(), &self.engine, &self.name, self.is_entry);
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
        let is_entry = self.is_entry;
        // This is best effort: a runtime that shuts down drops the task, and the lease expires.
        self.background.spawn(async move {
            if let Err(error) = end_lease(&engine, &name, lease, is_entry, limit).await {
                debug!(%error, "could not release a dropped lease; it will expire");
            }
            wake_next(holder, &engine, &name, is_entry);
        });
    }
}

/// Releases a lease, or leaves the queue with the entry of that lease.
async fn end_lease(
    engine: &Engine,
    name: &LockName,
    lease: LeaseId,
    is_entry: bool,
    limit: Duration,
) -> Result<ReleaseOutcome> {
    if is_entry {
        engine.store.leave(name, lease, limit).await
    } else {
        engine.store.release(name, lease, limit).await
    }
}

/// Lets the client's next waiter for the lock ask, because a release has ended.
fn wake_next(holder: Option<LocalHolder>, engine: &Engine, name: &LockName, is_entry: bool) {
    match holder {
        // Dropping it wakes the waiter.
        Some(holder) => drop(holder),
        None => engine.local_queues(is_entry).wake_first(name),
    }
}

/// An acquire call is a request for a lease that is in progress.
///
/// The caller's own task polls it, so an uncontended acquire needs no other task. A call that is
/// dropped after it was sent continues in a task of its own.
pub(crate) struct AcquireCall {
    /// `None` once the reply was returned.
    call: Option<BoxFuture<'static, (AcquireAttempt, TimedReply<AcquireOutcome>)>>,
    lease: LeaseId,
    /// A call whose caller no longer waits continues in this runtime, in which it was sent.
    caller: Handle,
    sent: bool,
}

impl AcquireCall {
    /// Returns the id of the attempt's lease.
    pub(crate) fn lease(&self) -> LeaseId {
        self.lease
    }
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
