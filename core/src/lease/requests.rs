//! This module sends the requests of one lease's machine to the store and waits for the replies.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::machine::{AcquireReply, AttemptKind, Event, Request};
use super::{AcquireAttempt, AcquireCall, EntryOptions, InFlightRenewals, last_renewal};
use crate::engine::{Change, Engine, TimedReply};
use crate::{
    AcquireOutcome, FencingToken, LeaseId, LockName, Moment, ReleaseOutcome, RenewOptions,
    RenewOutcome, Result, Timing,
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
    /// The attempts enter the queue of the name with these options; `None` means that they acquire
    /// an exclusive lease.
    entry: Option<EntryOptions>,
    /// A lease that was granted, or an entry that waits, must be renewed by this moment.
    renew_by: Moment,
    /// The store has refused the latest attempt, which has no lease and no entry.
    is_refused: bool,
    /// This is the latest floor that a reply to this attempt had.
    floor: Option<FencingToken>,
    /// This is the latest attempt; `None` means that a call owns it.
    attempt: Option<AcquireAttempt>,
    acquiring: Option<AcquireCall>,
    /// These are the renewals of the lease, or of its entry while it waits; they exist from the first
    /// until it is no longer renewed.
    renewals: Option<InFlightRenewals>,
    /// The call owns the attempt and returns it with the reply, as an acquire does.
    releasing: Option<BoxFuture<'static, (AcquireAttempt, Result<ReleaseOutcome>)>>,
}

/// A granted lease belongs to its guard from now on, which renews and releases it.
pub(crate) struct GrantedLease {
    pub(crate) attempt: AcquireAttempt,
    /// The lease must be renewed by this moment for the first time.
    pub(crate) renew_by: Moment,
    /// This is the smallest token whose holder may still use the lock.
    pub(crate) floor: FencingToken,
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
    /// Creates the requests of a lease that was not requested yet, or of an entry with these options.
    /// `reserved` is how much of the lease is for stopping its holder. This must be called within a
    /// runtime.
    pub(crate) fn new(
        engine: Arc<Engine>,
        name: LockName,
        timing: Arc<Timing>,
        reserved: Duration,
        entry: Option<EntryOptions>,
    ) -> Self {
        Self {
            engine,
            name,
            timing,
            reserved,
            entry,
            renew_by: Moment::ORIGIN,
            floor: None,
            attempt: None,
            acquiring: None,
            renewals: None,
            is_refused: false,
            releasing: None,
        }
    }

    /// Returns the options of the entry, if the attempts enter a queue.
    pub(crate) fn entry(&self) -> Option<EntryOptions> {
        self.entry
    }

    /// Returns the id of the latest attempt's lease; `None` while it is being released.
    pub(crate) fn lease(&self) -> Option<LeaseId> {
        let requested = self.acquiring.as_ref().map(AcquireCall::lease);
        requested.or_else(|| self.attempt.as_ref().map(AcquireAttempt::lease))
    }

    /// Returns the lease of the entry that the latest attempt made, as far as is known; `None` if it
    /// was refused. A subscriber without an entry is told of every change of the queue.
    pub(crate) fn entry_lease(&self) -> Option<LeaseId> {
        self.lease().filter(|_| self.entry.is_some() && !self.is_refused)
    }

    /// Returns the latest floor of the lease that was granted.
    pub(crate) fn floor(&self) -> Option<FencingToken> {
        self.floor
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: Request) {
        match request {
            Request::Acquire(id) => self.acquire(id),
            Request::Renew(window) => {
                if let (Some(attempt), None) = (&self.attempt, &self.renewals) {
                    let (name, lease) = (self.name.clone(), attempt.lease());
                    let renewal = RenewOptions::new(name, lease, self.timing.ttl)
                        .of_entry(self.entry.is_some());
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
                self.stop_renewing();
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
        // An entry that has waited may have been lost. Its renewals say nothing about the new
        // attempt.
        self.stop_renewing();
        self.floor = None;
        self.is_refused = false;
        let latest = self.attempt.take().filter(|_| id == AttemptKind::Retry);
        let attempt = latest.unwrap_or_else(|| {
            let (engine, name) = (self.engine.clone(), self.name.clone());
            AcquireAttempt::new(engine, name, self.timing.clone(), self.entry.is_some())
        });
        self.acquiring = Some(attempt.send(self.entry));
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
                self.record_attempt(&reply);
                // An attempt that makes no entry is not told when others leave without a successor.
                let is_told = self.entry.is_none_or(|entry| entry.wait);
                let watched = is_told && self.engine.hint_dispatcher.position().is_some();
                Reply::Acquire { reply, watched }
            }
            (reply, in_flight) = next_renewal(&mut self.renewals) => {
                self.record_renewal(&reply);
                Reply::Renew { reply, in_flight }
            }
            (attempt, outcome) = finish(&mut self.releasing) => {
                self.attempt = Some(attempt);
                Reply::Release(outcome)
            }
        }
    }

    fn record_attempt(&mut self, reply: &TimedReply<AcquireOutcome>) {
        self.is_refused =
            matches!(reply.outcome, Ok(AcquireOutcome::Held(_) | AcquireOutcome::Disabled(_)));
        let left = match &reply.outcome {
            Ok(AcquireOutcome::Granted(grant)) => {
                self.floor = Some(grant.floor);
                grant.left
            }
            Ok(AcquireOutcome::Queued(queued)) => {
                if let Some(entry) = self.entry {
                    self.engine.store.metrics().record_queued(entry.kind, queued.ahead);
                }
                queued.left
            }
            Ok(AcquireOutcome::Held(_) | AcquireOutcome::Disabled(_)) | Err(_) => return,
        };
        self.renew_by = last_renewal(reply.sent, left, self.reserved);
    }

    fn record_renewal(&mut self, reply: &TimedReply<RenewOutcome>) {
        if let Ok(RenewOutcome::Extended { floor: Some(floor), .. }) = &reply.outcome {
            self.floor = self.floor.max(Some(*floor));
        }
        if let Some(renewals) = &self.renewals {
            self.renew_by = renewals.renew_by();
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

    /// Takes the lease that was granted under that token.
    pub(crate) fn take_lease(&mut self, token: FencingToken) -> Option<GrantedLease> {
        let floor = self.floor.unwrap_or(token);
        Some(GrantedLease { attempt: self.attempt.take()?, renew_by: self.renew_by, floor })
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
