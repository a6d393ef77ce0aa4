//! This module defines an instance's link to the store, which delays, loses and reorders messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::intercept::{Interceptor, Reply, Request};
use leasehold_core::{
    AcquireOutcome, Error, ErrorKind, Hint, HintStream, LeaseId, LockName, LockStore, Result,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use uuid::Uuid;

use super::gate::FreezeGate;
use super::message_faults::{Delivery, MessageFaults};
use super::names::NameTable;
use super::recording_store::RecordingStore;
use super::{Defect, FaultProfile};
use crate::history::{AttemptKind, AttemptResult, Event, InstanceId, NameId};

/// This is the store as one instance accesses it.
#[derive(Clone, Debug)]
pub(super) struct SimulatedStore(pub(super) Arc<NetworkPath>);

#[derive(Debug)]
pub(super) struct NetworkPath {
    pub(super) recording_store: RecordingStore,
    pub(super) process: InstanceId,
    pub(super) gate: Arc<FreezeGate>,
    faults: Mutex<FaultProfile>,
    random: Mutex<fastrand::Rng>,
    answered: Notify,
    /// This is true once the instance has crashed: its later requests have no effect.
    pub(super) crashed: AtomicBool,
}

impl SimulatedStore {
    pub(super) fn new(
        recording_store: RecordingStore,
        process: InstanceId,
        gate: Arc<FreezeGate>,
        seed: u64,
    ) -> Self {
        Self(Arc::new(NetworkPath {
            recording_store,
            process,
            gate,
            faults: Mutex::new(FaultProfile::Fair),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            answered: Notify::new(),
            crashed: AtomicBool::new(false),
        }))
    }

    pub(super) fn set(&self, profile: FaultProfile) {
        *self.0.faults.lock() = profile;
    }

    pub(super) fn cut_off(&self) {
        self.0.crashed.store(true, Ordering::SeqCst);
    }

    pub(super) fn profile(&self) -> FaultProfile {
        *self.0.faults.lock()
    }

    pub(super) fn draw_faults(&self) -> MessageFaults {
        let mut random = self.0.random.lock();
        MessageFaults::draw(self.profile(), &mut random)
    }

    fn record_fault(&self, profile: FaultProfile) {
        if profile != FaultProfile::Fair {
            self.note(Event::MessageFault(self.0.process));
        }
    }

    pub(super) fn note(&self, event: Event) {
        self.0.recording_store.recorder.record(event);
    }

    /// Records what the instance does, unless it has crashed.
    fn note_own(&self, event: Event) {
        if !self.0.crashed.load(Ordering::SeqCst) {
            self.note(event);
        }
    }

    fn another_id(&self) -> LeaseId {
        let mut random = self.0.random.lock();
        LeaseId::from_uuid(Uuid::from_u128(random.u128(..)))
    }

    /// Records that an attempt asks for the name.
    fn record_acquire(&self, name: &LockName, lease: LeaseId) -> AttemptEndRecorder<'_> {
        let grants = &self.0.recording_store.grants;
        let (name, attempt) = (NameTable::number(name), grants.attempt(grants.renamed(lease)));
        self.note_own(Event::AcquireSent(self.0.process, name, attempt));
        AttemptEndRecorder { link: self, name, lease, attempt, answer: AttemptResult::Unknown }
    }

    /// Records that the instance releases a lease or leaves a queue, and returns the id at the store.
    fn record_release(&self, name: &LockName, lease: LeaseId) -> LeaseId {
        let grants = &self.0.recording_store.grants;
        let lease = grants.renamed(lease);
        let (name, attempt) = (NameTable::number(name), grants.attempt(lease));
        self.note_own(Event::ReleaseSent(self.0.process, name, attempt));
        lease
    }

    /// Returns when an answer to a heartbeat has reached the engine, which handles it next.
    pub(super) async fn heartbeat_answered(&self) {
        self.0.answered.notified().await;
    }

    fn refused(&self) -> Error {
        Error::new(ErrorKind::Unavailable, "the request was refused").on_store(self.label())
    }

    /// Sends a request that continues whether or not anybody waits for its reply.
    async fn pass(&self, request: Request) -> Result<Reply> {
        if self.0.crashed.load(Ordering::SeqCst) {
            return Err(self.refused());
        }
        let (faults, profile) = (self.draw_faults(), self.profile());
        let (send, receive) = oneshot::channel();
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(faults.request_delay).await;
            this.record_fault(profile);
            match faults.request {
                Delivery::Lost => return,
                Delivery::Refused => {
                    let _ = send.send(Err(this.refused()));
                    return;
                }
                Delivery::Arrives => {}
            }
            let reply = this.0.recording_store.reply_to(this.0.process, request).await;
            tokio::time::sleep(faults.reply_delay).await;
            this.record_fault(profile);
            // The waiter may have ended.
            let _ = match faults.reply {
                Delivery::Arrives => send.send(reply),
                Delivery::Lost => return,
                Delivery::Refused => {
                    send.send(Err(Error::new(ErrorKind::OutcomeUnknown, "the reply was lost")))
                }
            };
        });
        let Ok(reply) = receive.await else { return std::future::pending().await };
        self.0.gate.let_message_in().await;
        reply
    }
}

/// Returns what the instance knows after that outcome.
fn answer(outcome: &AcquireOutcome) -> AttemptResult {
    match outcome {
        AcquireOutcome::Granted(_) => AttemptResult::Granted,
        AcquireOutcome::Queued(_) => AttemptResult::Queued,
        AcquireOutcome::Held(_) => AttemptResult::Refused,
        AcquireOutcome::Disabled(_) => AttemptResult::Disabled,
    }
}

/// Records the answer to an attempt when its call has ended, whether it was awaited or not.
struct AttemptEndRecorder<'a> {
    link: &'a SimulatedStore,
    name: NameId,
    lease: LeaseId,
    attempt: AttemptKind,
    answer: AttemptResult,
}

impl Drop for AttemptEndRecorder<'_> {
    fn drop(&mut self) {
        let Self { link, name, lease, attempt, answer } = *self;
        link.note_own(Event::AcquireEnded(link.0.process, name, attempt, answer));
        let recording_store = &link.0.recording_store;
        if answer == AttemptResult::Unknown
            && recording_store.defect == Some(Defect::ForgetsAttempts)
        {
            recording_store.grants.rename(lease, link.another_id());
        }
    }
}

#[async_trait]
impl Interceptor for SimulatedStore {
    fn inner(&self) -> &dyn LockStore {
        &self.0.recording_store.store
    }

    fn store_label(&self) -> &str {
        "simulated:"
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        let store = &self.0.recording_store;
        let grants = &store.grants;
        match request {
            Request::Acquire(name, mut options) => {
                let mut recorder = self.record_acquire(&name, options.lease);
                options.lease = grants.renamed(options.lease);
                let reply = self.pass(Request::Acquire(name, options)).await;
                recorder.answer = match &reply {
                    Ok(Reply::Acquire(outcome)) => answer(outcome),
                    _ => AttemptResult::Unknown,
                };
                reply
            }
            Request::Enter(name, mut options) => {
                let mut recorder = self.record_acquire(&name, options.lease);
                options.lease = grants.renamed(options.lease);
                let reply = self.pass(Request::Enter(name, options)).await;
                recorder.answer = match &reply {
                    Ok(Reply::Enter(outcome)) => answer(outcome),
                    _ => AttemptResult::Unknown,
                };
                reply
            }
            Request::Renew(mut leases) => {
                for renewal in &mut leases {
                    renewal.lease = grants.renamed(renewal.lease);
                }
                let named = leases.iter().map(|renewal| store.name_and_token(renewal)).collect();
                self.note_own(Event::Renewed(self.0.process, named));
                let reply = self.pass(Request::Renew(leases)).await;
                self.0.answered.notify_waiters();
                reply
            }
            Request::Release(name, lease) => {
                let lease = self.record_release(&name, lease);
                self.pass(Request::Release(name, lease)).await
            }
            Request::Leave(name, lease) => {
                let lease = self.record_release(&name, lease);
                self.pass(Request::Leave(name, lease)).await
            }
            // Each lease has a message of its own.
            Request::AcquireMany(attempts) => {
                let mut outcomes = Vec::new();
                for (name, options) in &attempts {
                    outcomes.push(self.acquire(name, options).await);
                }
                Ok(Reply::AcquireMany(outcomes))
            }
            Request::ReleaseMany(leases) => {
                let mut outcomes = Vec::new();
                for released in &leases {
                    outcomes.push(self.release(&released.name, released.lease).await);
                }
                Ok(Reply::ReleaseMany(outcomes))
            }
            // No decision depends on announcements, so the simulation has no messages for them.
            Request::Announce(..) | Request::Withdraw(_) | Request::Instances => {
                Err(Error::new(ErrorKind::Unsupported, "the store keeps no instances"))
            }
            Request::Watch => match self.pass(Request::Watch).await? {
                Reply::Watch(hints) => Ok(Reply::Watch(self.forwarded(hints))),
                reply => Ok(reply),
            },
            request => self.pass(request).await,
        }
    }
}

impl SimulatedStore {
    /// Returns the hints as they reach the instance.
    fn forwarded(&self, hints: HintStream) -> HintStream {
        let (to, forwarded) = mpsc::unbounded_channel();
        tokio::spawn(self.clone().forward(hints, to));
        // The engine wakes every waiter, because there were no hints before.
        self.note_hint(&Hint::Anything);
        Box::pin(UnboundedReceiverStream::new(forwarded))
    }
}

/// A message takes at most this long, whatever the faults.
pub(super) const MAX_MESSAGE_DELAY: Duration = Duration::from_secs(12);
