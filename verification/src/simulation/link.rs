//! An instance's way to the store: late, lossy, out of order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    Error, ErrorKind, Hint, HintStream, LeaseId, ListOptions, LockName, LockRecord, LockStore,
    PruneOptions, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use uuid::Uuid;

use super::gate::Gate;
use super::message_faults::{Fate, Passage};
use super::names::Names;
use super::recording_store::Referee;
use super::{Defect, Weather};
use crate::history::{Answer, Attempt, Fact, Name, Process};

/// The store as one instance sees it.
#[derive(Clone, Debug)]
pub(super) struct Link(pub(super) Arc<Way>);

#[derive(Debug)]
pub(super) struct Way {
    pub(super) referee: Referee,
    pub(super) process: Process,
    pub(super) gate: Arc<Gate>,
    weather: Mutex<Weather>,
    random: Mutex<fastrand::Rng>,
    answered: Notify,
    /// The instance has crashed: whatever it still does is not done.
    pub(super) dead: AtomicBool,
}

impl Link {
    pub(super) fn new(referee: Referee, process: Process, gate: Arc<Gate>, seed: u64) -> Self {
        Self(Arc::new(Way {
            referee,
            process,
            gate,
            weather: Mutex::new(Weather::Fair),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            answered: Notify::new(),
            dead: AtomicBool::new(false),
        }))
    }

    pub(super) fn set(&self, weather: Weather) {
        *self.0.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    pub(super) fn cut_off(&self) {
        self.0.dead.store(true, Ordering::SeqCst);
    }

    pub(super) fn weather(&self) -> Weather {
        *self.0.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fate(&self) -> Fate {
        let mut random = self.0.random.lock().unwrap_or_else(PoisonError::into_inner);
        Fate::draw(self.weather(), &mut random)
    }

    fn mishap(&self, weather: Weather) {
        if weather != Weather::Fair {
            self.note(Fact::Mishap(self.0.process));
        }
    }

    pub(super) fn note(&self, fact: Fact) {
        self.0.referee.recorder.note(fact);
    }

    /// Writes down what the instance does, unless it is gone.
    fn note_own(&self, fact: Fact) {
        if !self.0.dead.load(Ordering::SeqCst) {
            self.note(fact);
        }
    }

    fn another_id(&self) -> LeaseId {
        let mut random = self.0.random.lock().unwrap_or_else(PoisonError::into_inner);
        LeaseId::from_uuid(Uuid::from_u128(random.u128(..)))
    }

    /// An attempt asks for the name.
    fn asks(&self, name: &LockName, lease: LeaseId) -> Told<'_> {
        let ledger = &self.0.referee.ledger;
        let (name, attempt) = (Names::number(name), ledger.attempt(ledger.renamed(lease)));
        self.note_own(Fact::Asks(self.0.process, name, attempt));
        Told { link: self, name, lease, attempt, answer: Answer::Unknown }
    }

    /// Returns when an answer to a heartbeat has reached the engine, which deals with it next.
    pub(super) async fn answered(&self) {
        self.0.answered.notified().await;
    }

    fn refused(&self) -> Error {
        Error::new(ErrorKind::Unavailable, "the request was refused").on_store(self.label())
    }

    /// Sends a request that takes its way whether or not anybody waits for its reply.
    async fn pass<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        if self.0.dead.load(Ordering::SeqCst) {
            return Err(self.refused());
        }
        let (fate, weather) = (self.fate(), self.weather());
        let (send, receive) = oneshot::channel();
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(fate.there).await;
            this.mishap(weather);
            match fate.request {
                Passage::Lost => return,
                Passage::Refused => {
                    let _ = send.send(Err(this.refused()));
                    return;
                }
                Passage::Arrives => {}
            }
            let reply = request.await;
            tokio::time::sleep(fate.back).await;
            this.mishap(weather);
            // Nobody may wait any more.
            let _ = match fate.reply {
                Passage::Arrives => send.send(reply),
                Passage::Lost => return,
                Passage::Refused => {
                    send.send(Err(Error::new(ErrorKind::OutcomeUnknown, "the reply was lost")))
                }
            };
        });
        let Ok(reply) = receive.await else { return std::future::pending().await };
        self.0.gate.let_message_in().await;
        reply
    }
}

/// Writes down what an attempt was told when its call is over, waited for or not.
struct Told<'a> {
    link: &'a Link,
    name: Name,
    lease: LeaseId,
    attempt: Attempt,
    answer: Answer,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let Self { link, name, lease, attempt, answer } = *self;
        link.note_own(Fact::Told(link.0.process, name, attempt, answer));
        let referee = &link.0.referee;
        if answer == Answer::Unknown && referee.defect == Some(Defect::ForgetsAttempts) {
            referee.ledger.rename(lease, link.another_id());
        }
    }
}

#[async_trait]
impl LockStore for Link {
    fn label(&self) -> &str {
        "simulated:"
    }

    fn capabilities(&self) -> Capabilities {
        self.0.referee.store.capabilities()
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let mut told = self.asks(name, options.lease);
        let lease = self.0.referee.ledger.renamed(options.lease);
        let (way, name, options) =
            (self.0.clone(), name.clone(), AcquireOptions { lease, ..options.clone() });
        let request = async move { way.referee.acquire(way.process, &name, &options).await };
        let outcome = self.pass(request).await;
        told.answer = match &outcome {
            Ok(AcquireOutcome::Granted(_)) => Answer::Granted,
            Ok(AcquireOutcome::Held(_)) => Answer::Refused,
            Ok(AcquireOutcome::Disabled(_)) => Answer::Disabled,
            Err(_) => Answer::Unknown,
        };
        outcome
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        let ledger = &self.0.referee.ledger;
        let leases: Vec<_> = leases
            .iter()
            .map(|asked| RenewOptions { lease: ledger.renamed(asked.lease), ..asked.clone() })
            .collect();
        let named = leases.iter().map(|renewal| self.0.referee.known(renewal)).collect();
        self.note_own(Fact::Renewed(self.0.process, named));
        let way = self.0.clone();
        let renewal = async move { way.referee.renew(way.process, &leases).await };
        let answer = self.pass(renewal).await;
        self.0.answered.notify_waiters();
        answer
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let lease = self.0.referee.ledger.renamed(lease);
        let attempt = self.0.referee.ledger.attempt(lease);
        self.note_own(Fact::GivesBack(self.0.process, Names::number(name), attempt));
        let (way, name) = (self.0.clone(), name.clone());
        self.pass(async move { way.referee.release(&name, lease).await }).await
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let (way, name, options) = (self.0.clone(), name.clone(), options.clone());
        self.pass(async move { way.referee.store.disable(&name, &options).await }).await
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let (way, name) = (self.0.clone(), name.clone());
        self.pass(async move { way.referee.store.enable(&name).await }).await
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let (way, name) = (self.0.clone(), name.clone());
        self.pass(async move { way.referee.store.get(&name).await }).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let (way, options) = (self.0.clone(), options.clone());
        self.pass(async move { way.referee.store.list(&options).await }).await
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        let (way, options) = (self.0.clone(), options.clone());
        self.pass(async move { way.referee.store.prune(&options).await }).await
    }

    async fn watch(&self) -> Result<HintStream> {
        let way = self.0.clone();
        let hints = self.pass(async move { way.referee.store.watch().await }).await?;
        let (to, handed_on) = mpsc::unbounded_channel();
        tokio::spawn(self.clone().hand_on(hints, to));
        // The engine wakes whoever waits: what happened before was not hinted at.
        self.note_hint(&Hint::Anything);
        Ok(Box::pin(UnboundedReceiverStream::new(handed_on)))
    }
}

/// How long a message may be under way, whatever the weather.
pub(super) const LONGEST_WAY: Duration = Duration::from_secs(12);
