//! An instance's way to the store: late, lossy, out of order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use leasehold_core::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    Error, ErrorKind, Hint, HintStream, LeaseId, ListOptions, LockName, LockRecord, LockStore,
    ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::fate::{Fate, Passage};
use super::gate::Gate;
use super::process::Names;
use super::referee::Referee;
use super::{Defect, Weather};
use crate::history::{Fact, Process};

/// The store as one instance sees it.
#[derive(Clone, Debug)]
pub(super) struct Link(Arc<Way>);

#[derive(Debug)]
struct Way {
    referee: Referee,
    process: Process,
    gate: Arc<Gate>,
    weather: Mutex<Weather>,
    random: Mutex<fastrand::Rng>,
    answered: Notify,
    /// The instance has crashed: whatever it still does is not done.
    dead: AtomicBool,
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

    fn weather(&self) -> Weather {
        *self.0.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self) -> Fate {
        let mut random = self.0.random.lock().unwrap_or_else(PoisonError::into_inner);
        Fate::draw(self.weather(), &mut random)
    }

    fn mishap(&self, weather: Weather) {
        if weather != Weather::Fair {
            self.note(Fact::Mishap(self.0.process));
        }
    }

    fn note(&self, fact: Fact) {
        self.0.referee.recorder.note(fact);
    }

    fn note_hint(&self, hint: &Hint) {
        let name = match hint {
            Hint::Name(name) => Some(Names::number(name)),
            Hint::Anything => None,
        };
        self.note(Fact::Hinted(self.0.process, name));
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

    /// Hands hints on as the weather has it: late, in another order, twice or not at all.
    async fn hand_on(self, mut hints: HintStream, to: mpsc::UnboundedSender<Hint>) {
        let silent = self.0.referee.defect == Some(Defect::NeverHints);
        loop {
            let hint = tokio::select! {
                biased;
                () = to.closed() => return,
                hint = hints.next() => match hint {
                    Some(hint) => hint,
                    None => return,
                },
            };
            let weather = self.weather();
            if self.0.dead.load(Ordering::SeqCst) || weather == Weather::Away {
                return;
            }
            let (first, again) = (self.fate(), self.fate());
            let repeated = weather == Weather::Rough && again.request == Passage::Refused;
            for fate in [Some(first), repeated.then_some(again)].into_iter().flatten() {
                if silent || fate.request != Passage::Arrives {
                    continue;
                }
                let (this, to, hint) = (self.clone(), to.clone(), hint.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(fate.there).await;
                    this.0.gate.let_message_in().await;
                    this.note_hint(&hint);
                    let _ = to.send(hint);
                });
            }
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
        let (way, name, options) = (self.0.clone(), name.clone(), options.clone());
        self.pass(async move { way.referee.acquire(way.process, &name, &options).await }).await
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        if !self.0.dead.load(Ordering::SeqCst) {
            let named = leases.iter().map(|renewal| self.0.referee.known(renewal)).collect();
            self.note(Fact::Renewed(self.0.process, named));
        }
        let (way, leases) = (self.0.clone(), leases.to_vec());
        let renewal = async move { way.referee.renew(way.process, &leases).await };
        let answer = self.pass(renewal).await;
        self.0.answered.notify_waiters();
        answer
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
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
