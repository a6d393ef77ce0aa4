//! This module sends the requests of one lease's machine to the store and waits for the replies.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::machine::{AcquireReply, AttemptKind, Event, NextTick, Request};
use super::{AcquireAttempt, AcquireCall, InFlightRenewals, last_renewal};
use crate::engine::{Change, Engine, TimedReply};
use crate::{
    AcquireOutcome, LeaseId, LockName, Moment, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
    Timing,
};

/// These are the requests of one lease that are in progress.
///
/// Dropping this value releases a lease that may have been granted, in the background.
pub(crate) struct LeaseRequests {
    engine: Arc<Engine>,
    name: LockName,
    timing: Arc<Timing>,
    /// This much of a lease is for stopping its holder.
    reserved: Duration,
    /// A lease that was granted must be renewed by this moment for the first time.
    renew_by: Moment,
    /// This is the latest attempt; `None` means that a call owns it.
    attempt: Option<AcquireAttempt>,
    acquiring: Option<AcquireCall>,
    /// These are the renewals of the lease; they exist from the first until it is no longer
    /// renewed.
    renewals: Option<InFlightRenewals>,
    /// The call owns the attempt and returns it with the reply, as an acquire does.
    releasing: Option<BoxFuture<'static, (AcquireAttempt, Result<ReleaseOutcome>)>>,
}

/// A request gets one of these replies.
#[derive(Debug)]
pub(crate) enum Reply {
    Acquire {
        reply: TimedReply<AcquireOutcome>,
        /// The watch was open when the reply came.
        watched: bool,
    },
    Renew {
        reply: TimedReply<RenewOutcome>,
        /// This is true if another renewal was sent and has no reply yet.
        in_flight: bool,
    },
    Release(Result<ReleaseOutcome>),
}

impl From<&Reply> for Event {
    fn from(reply: &Reply) -> Self {
        match reply {
            Reply::Acquire { reply: TimedReply { sent, outcome }, watched } => {
                Self::AcquireReplied { sent: *sent, reply: AcquireReply::new(outcome, *watched) }
            }
            Reply::Renew { reply: TimedReply { sent, outcome }, in_flight } => {
                Self::RenewReplied { sent: *sent, reply: outcome.into(), in_flight: *in_flight }
            }
            Reply::Release(outcome) => Self::ReleaseReplied { confirmed: outcome.is_ok() },
        }
    }
}

impl From<Change> for Event {
    fn from(change: Change) -> Self {
        match change {
            Change::Hint => Self::Hint,
            Change::WatchChanged => Self::WatchChanged,
        }
    }
}

impl LeaseRequests {
    /// Creates the requests of a lease that was not requested yet. `reserved` is how much of it is
    /// for stopping its holder. This must be called within a runtime.
    pub(crate) fn new(
        engine: Arc<Engine>,
        name: LockName,
        timing: Arc<Timing>,
        reserved: Duration,
    ) -> Self {
        let (attempt, acquiring, renewals, releasing) = (None, None, None, None);
        let renew_by = Moment::ORIGIN;
        Self { engine, name, timing, reserved, renew_by, attempt, acquiring, renewals, releasing }
    }

    /// Returns the id of the latest attempt's lease; `None` while a call owns the attempt.
    pub(crate) fn lease(&self) -> Option<LeaseId> {
        self.attempt.as_ref().map(AcquireAttempt::lease)
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: Request) {
        match request {
            Request::Acquire(id) => self.acquire(id),
            Request::Renew(window) => {
                if let (Some(attempt), None) = (&self.attempt, &self.renewals) {
                    let (name, lease) = (self.name.clone(), attempt.lease());
                    let renewal = RenewOptions { name, lease, ttl: self.timing.ttl };
                    let (engine, timing) = (self.engine.clone(), self.timing.clone());
                    self.renewals = Some(InFlightRenewals::new(
                        engine,
                        renewal,
                        timing,
                        self.reserved,
                        self.renew_by,
                    ));
                }
                if let Some(renewals) = &mut self.renewals {
                    renewals.request(window);
                }
            }
            Request::Release(limit) => {
                self.releasing = self.attempt.take().map(|mut attempt| {
                    async move {
                        let outcome = attempt.release(limit).await;
                        (attempt, outcome)
                    }
                    .boxed()
                });
            }
        }
    }

    fn acquire(&mut self, id: AttemptKind) {
        let latest = self.attempt.take().filter(|_| id == AttemptKind::Retry);
        let attempt = latest.unwrap_or_else(|| {
            AcquireAttempt::new(self.engine.clone(), self.name.clone(), self.timing.clone())
        });
        self.acquiring = Some(attempt.send());
    }

    /// Waits for the next reply; it stays pending while no request is in progress.
    ///
    /// # Cancel safety
    /// Dropping the future loses no reply.
    pub(crate) async fn next(&mut self) -> Reply {
        tokio::select! {
            biased;
            (attempt, reply) = finish(&mut self.acquiring) => {
                self.attempt = Some(attempt);
                if let Ok(AcquireOutcome::Granted(grant)) = &reply.outcome {
                    self.renew_by = last_renewal(reply.sent, grant.left, self.reserved);
                }
                let watched = self.engine.hint_dispatcher.position().is_some();
                Reply::Acquire { reply, watched }
            }
            (reply, in_flight) = next_renewal(&mut self.renewals) => {
                Reply::Renew { reply, in_flight }
            }
            (attempt, outcome) = finish(&mut self.releasing) => {
                self.attempt = Some(attempt);
                Reply::Release(outcome)
            }
        }
    }

    /// Cancels the renewals that were not sent yet, and ignores the replies to the others.
    pub(crate) fn stop_renewing(&mut self) {
        self.renewals = None;
    }

    /// Lets the lease expire: it is not released, not even when this value is dropped.
    pub(crate) fn never_release(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.never_release();
        }
    }

    /// Returns whether a renewal was sent and has no reply yet.
    pub(crate) fn awaits_renewal(&self) -> bool {
        self.renewals.as_ref().is_some_and(InFlightRenewals::is_in_flight)
    }

    /// Takes the attempt that was granted, and the moment by which its lease must be renewed for
    /// the first time. The owner of the attempt renews and releases the lease.
    pub(crate) fn take_lease(&mut self) -> Option<(AcquireAttempt, Moment)> {
        Some((self.attempt.take()?, self.renew_by))
    }

    /// Stops waiting for replies and releases a lease that may have been granted, in the
    /// background.
    pub(crate) fn abandon(&mut self) {
        (self.acquiring, self.releasing, self.attempt) = (None, None, None);
    }
}

/// Waits for a call to end.
///
/// # Cancel safety
/// Dropping the future loses nothing.
async fn finish<F: Future + Unpin>(call: &mut Option<F>) -> F::Output {
    let Some(running) = call else { return pending().await };
    let reply = running.await;
    *call = None;
    reply
}

async fn next_renewal(renewals: &mut Option<InFlightRenewals>) -> (TimedReply<RenewOutcome>, bool) {
    match renewals {
        Some(renewals) => renewals.next().await,
        None => pending().await,
    }
}

/// A tick timer draws the moment of a machine's next tick.
#[derive(Debug, Default)]
pub(crate) struct TickTimer {
    drawn: Option<(NextTick, Moment)>,
}

impl TickTimer {
    /// Waits until the moment of the machine's next tick, or forever if it needs none.
    pub(crate) fn sleep(
        &mut self,
        next: Option<NextTick>,
        engine: &Engine,
    ) -> impl Future<Output = ()> + Send + use<> {
        let Some(next) = next else { return pending().boxed() };
        // The random moment is drawn once per tick, not again at every event in between.
        let drawn = self.drawn.filter(|(last, _)| *last == next).map(|(_, at)| at);
        let at = drawn.unwrap_or_else(|| next.at + engine.jitter(next.jitter));
        self.drawn = Some((next, at));
        engine.store.clock().sleep_until(at)
    }
}
