//! Runs the steps of a sequence, and checks each answer against the model.

use std::fmt::Write;
use std::time::{Duration, Instant};

use leasehold_core::{
    AcquireOptions, AcquireOutcome, DisableOptions, EnterOptions, Error, ErrorKind, LeaseId,
    LockName, Reason, RenewOptions, RenewOutcome, Result,
};
use tokio::time::sleep;

use super::describe;
use super::step::{ATTEMPTS, Delivery, Move, NAMES, Renewal, Step, Ttl, name_of};
use crate::client::retry_while_busy;
use crate::model::{Answer, Attempt, Model, Precision, Renewed, Window, Wrong};
use crate::{Client, Ctx};

/// A runner has the store and the clients with which sequences run. Each sequence has its own
/// names.
pub(super) struct Runner {
    pub(super) clients: Vec<Client>,
    pub(super) ctx: Ctx,
}

/// This is how a sequence without a wrong answer ended.
#[derive(Debug, PartialEq)]
pub(super) enum Completion {
    Complete,
    /// The store itself lost an answer, so that the request may take effect at any time.
    UnknownOutcome,
}

/// This sequence has a wrong answer.
#[derive(Clone, Debug)]
pub(super) struct WrongAnswer {
    /// This step has the wrong answer.
    pub(super) at: usize,
    /// This text describes the steps before the wrong answer, and why it is wrong.
    pub(super) report: String,
}

/// This is the reason why a step did not complete.
pub(super) enum Stop {
    Unknown,
    Wrong(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        if error.is_outcome_unknown() { Self::Unknown } else { Self::Wrong(error.to_string()) }
    }
}

impl Runner {
    /// Runs the sequence on names that begin with `prefix`, which nothing else may use.
    pub(super) async fn run(
        &self,
        prefix: &str,
        sequence: &[Move],
    ) -> std::result::Result<Completion, WrongAnswer> {
        let mut run = Run::new(self, prefix);
        for (at, one) in sequence.iter().enumerate() {
            let since = run.began.elapsed().as_millis();
            let _ = write!(run.report, "\n{since:6} ms  {}", describe::step(&one.step));
            match run.step(one).await {
                Ok(()) => {}
                Err(Stop::Unknown) => return Ok(Completion::UnknownOutcome),
                Err(Stop::Wrong(why)) => {
                    return Err(WrongAnswer { at, report: format!("{}\n{why}", run.report) });
                }
            }
        }
        Ok(Completion::Complete)
    }
}

/// This is one run of a sequence.
pub(super) struct Run<'a> {
    pub(super) runner: &'a Runner,
    pub(super) prefix: &'a str,
    pub(super) names: Vec<LockName>,
    pub(super) models: Vec<Model>,
    pub(super) attempts: Vec<Attempt>,
    began: Instant,
    report: String,
}

/// Makes a call that writes, unless its request must get lost. Returns the answer, or `None` if it
/// was lost, and the time around the call.
macro_rules! call {
    ($run:expr, $delivery:expr, $call:expr) => {{
        let before = Instant::now();
        let answer = match $delivery {
            Delivery::RequestLost => None,
            Delivery::AnswerLost => {
                retry_while_busy!($call, ErrorKind::Unavailable).map(|_| None)?
            }
            Delivery::Answered => retry_while_busy!($call, ErrorKind::Unavailable).map(Some)?,
        };
        (answer, $run.window(before))
    }};
}

impl<'a> Run<'a> {
    fn new(runner: &'a Runner, prefix: &'a str) -> Self {
        let attempt = |number: usize| Attempt {
            number,
            id: LeaseId::new(),
            holder: runner.clients[number / NAMES.len() % runner.clients.len()].holder().clone(),
        };
        Self {
            runner,
            prefix,
            names: NAMES.iter().map(|name| runner.ctx.name(&format!("{prefix}{name}"))).collect(),
            models: NAMES.iter().map(|_| Model::unused()).collect(),
            attempts: (0..ATTEMPTS).map(attempt).collect(),
            began: Instant::now(),
            report: String::new(),
        }
    }

    pub(super) fn window(&self, before: Instant) -> Window {
        let ctx = &self.runner.ctx;
        let precision = Precision { step: ctx.coarseness(), notices: ctx.end_noticed() };
        Window { before, after: Instant::now(), precision }
    }

    pub(super) fn ttl(&self, ttl: Ttl) -> Duration {
        let ctx = &self.runner.ctx;
        match ttl {
            Ttl::Short => ctx.short_ttl(),
            Ttl::Double => ctx.in_steps(ctx.short_ttl() * 2),
            Ttl::Long => ctx.long_ttl(),
        }
    }

    /// Adds an answer to the report, or that there was no answer.
    pub(super) fn note(&mut self, answer: Option<String>) {
        self.report += ": ";
        self.report += answer.as_deref().unwrap_or("no answer");
    }

    /// Checks that the model agrees with the answer for that name.
    pub(super) fn agreed(
        name: usize,
        verdict: std::result::Result<(), Wrong>,
    ) -> std::result::Result<(), Stop> {
        verdict.map_err(|wrong| {
            let before = NAMES[name];
            Stop::Wrong(format!("This contradicts the contract. Before, {before:?} was {wrong}."))
        })
    }

    async fn step(&mut self, one: &Move) -> std::result::Result<(), Stop> {
        let (clients, delivery) = (&self.runner.clients, one.delivery);
        match &one.step {
            Step::Pass { quarters } => {
                sleep(self.ttl(Ttl::Short) * *quarters / 4).await;
                Ok(())
            }
            Step::Get { client, name } => self.get(&clients[*client], *name).await.map(drop),
            Step::List { client } => self.list(&clients[*client]).await,
            Step::Outlast { client, name } => self.outlast(&clients[*client], *name).await,
            Step::Renew { client, batch } => self.renew(&clients[*client], batch, delivery).await,
            Step::Enable { client, name } => {
                let (store, lock) = (clients[*client].store(), &self.names[*name]);
                let (answer, at) = call!(self, delivery, store.enable(lock));
                self.note(answer.as_ref().map(describe::enabled));
                Self::agreed(*name, self.models[*name].enable(answer.as_ref(), at))
            }
            Step::Disable { client, name, reason } => {
                let (store, lock) = (clients[*client].store(), &self.names[*name]);
                let by = (*client > 0).then(|| format!("operator {client}"));
                let options = DisableOptions::new(Reason::new(reason.to_string())?).with_by(by);
                let (answer, at) = call!(self, delivery, store.disable(lock, &options));
                self.note(answer.as_ref().map(describe::disabled));
                Self::agreed(*name, self.models[*name].disable(&options, answer.as_ref(), at))
            }
            Step::Release { client, attempt, elsewhere } => {
                let name = name_of(*attempt, *elsewhere);
                let (store, lock) = (clients[*client].store(), &self.names[name]);
                let id = self.attempts[*attempt].id;
                let (answer, at) = call!(self, delivery, store.release(lock, id));
                self.note(answer.as_ref().map(describe::released));
                Self::agreed(name, self.models[name].release(id, answer.as_ref(), at))
            }
            Step::Acquire { client, attempt, ttl } => {
                let name = name_of(*attempt, false);
                let (store, lock) = (clients[*client].store(), &self.names[name]);
                let (by, ttl) = (&self.attempts[*attempt], self.ttl(*ttl));
                // A retry over another connection is for the same holder.
                let options = AcquireOptions::new(by.id, by.holder.clone(), ttl);
                let (answer, at) = call!(self, delivery, attempted(store.acquire(lock, &options)));
                let verdict = self.models[name].acquire(by, ttl, answer.as_ref(), at);
                self.note(answer.as_ref().map(describe::attempted));
                Self::agreed(name, verdict)
            }
            Step::Enter { client, attempt, ttl, kind, weight, wait } => {
                let name = name_of(*attempt, false);
                let (store, lock) = (clients[*client].store(), &self.names[name]);
                let (by, ttl) = (&self.attempts[*attempt], self.ttl(*ttl));
                let options = EnterOptions::new(by.id, by.holder.clone(), ttl, *kind)
                    .with_weight(weight.of(*kind));
                let options = if *wait { options } else { options.without_waiting() };
                let (answer, at) = call!(self, delivery, attempted(store.enter(lock, &options)));
                let verdict = self.models[name].enter(by, &options, answer.as_ref(), at);
                self.note(answer.as_ref().map(describe::attempted));
                Self::agreed(name, verdict)
            }
            Step::Leave { client, attempt, elsewhere } => {
                let name = name_of(*attempt, *elsewhere);
                let (store, lock) = (clients[*client].store(), &self.names[name]);
                let id = self.attempts[*attempt].id;
                let (answer, at) = call!(self, delivery, store.leave(lock, id));
                self.note(answer.as_ref().map(describe::released));
                Self::agreed(name, self.models[name].leave(id, answer.as_ref(), at))
            }
        }
    }

    async fn renew(
        &mut self,
        client: &Client,
        batch: &[Renewal],
        delivery: Delivery,
    ) -> std::result::Result<(), Stop> {
        let renewals: Vec<RenewOptions> = batch
            .iter()
            .map(|renewal| {
                RenewOptions::new(
                    self.names[name_of(renewal.attempt, renewal.elsewhere)].clone(),
                    self.attempts[renewal.attempt].id,
                    self.ttl(renewal.ttl),
                )
                .of_entry(renewal.of_entry)
            })
            .collect();
        let (answers, at) = call!(self, delivery, client.store().renew(&renewals));
        let words = |answers: &Vec<_>| {
            answers.iter().map(describe::renewed).collect::<Vec<String>>().join(" and ")
        };
        self.note(answers.as_ref().map(words));
        if answers.as_ref().is_some_and(|answers| answers.len() != batch.len()) {
            return Err(Stop::Wrong("The number of answers differs.".to_owned()));
        }
        // The store asks for a retry, so what it does until then says nothing.
        let unknown = |answer: &RenewOutcome| matches!(answer, RenewOutcome::Unknown { .. });
        if answers.iter().flatten().any(unknown) {
            return Err(Stop::Unknown);
        }
        for name in 0..NAMES.len() {
            let is_of_name = |one: &Renewal| name_of(one.attempt, one.elsewhere) == name;
            let renewed: Vec<Renewed<'_>> = (0..batch.len())
                .filter(|number| is_of_name(&batch[*number]))
                .map(|number| {
                    let RenewOptions { lease: id, ttl, entry: of_entry, .. } = renewals[number];
                    let reply = answers.as_ref().map(|answers| &answers[number]);
                    Renewed { id, ttl, of_entry, reply }
                })
                .collect();
            Self::agreed(name, self.models[name].renew(&renewed, at))?;
        }
        Ok(())
    }
}

/// Makes a conflict an answer, since the model knows when it is right.
async fn attempted(call: impl Future<Output = Result<AcquireOutcome>>) -> Result<Answer> {
    match call.await {
        Ok(outcome) => Ok(Answer::Outcome(outcome)),
        Err(error) if error.kind() == ErrorKind::Conflict => {
            Ok(Answer::Conflict(error.to_string()))
        }
        Err(error) => Err(error),
    }
}
