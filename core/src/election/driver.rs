//! The loop that runs a [`Machine`] under tokio: it waits for events and does the actions.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::machine::{Action, Attempt, Event, Machine, RenewReply, Standing, Wake};
use super::running::{Outcome, Running};
use super::{Election, ElectionHandle, Job, Leadership, Status};
use crate::engine::{Answer, Campaign, Claim, Renewals, Subscription, Trust};
use crate::telemetry::ElectionMeters;
use crate::{
    AcquireOutcome, Error, ErrorKind, FencingToken, Moment, ReleaseOutcome, RenewOptions,
    RenewOutcome, Result,
};

/// What an application asks of an election that runs.
#[derive(Debug)]
pub(crate) enum Command {
    /// Give up the lead of that term.
    Resign(FencingToken),
    ShutDown,
}

/// Called within the application's runtime, where the job runs. The election runs in the client's
/// background, so that it does not depend on what the job does to that runtime.
pub(super) fn spawn(election: Election, job: Arc<dyn Job>) -> ElectionHandle {
    let application = Handle::current();
    let background = election.engine.background.runtime();
    let apart = background.id() != application.id();
    let sentinel = apart.then(|| application.spawn(std::future::pending()));
    let clock = election.engine.calls.clock().clone();
    let (commands, received) = mpsc::unbounded_channel();
    let (publish, status) = watch::channel(Status::default());
    let now = election.engine.now();
    let driver = Driver {
        machine: Machine::new(election.timing.clone(), now),
        hints: election.engine.hub.subscribe(election.name.clone()),
        campaign: Some(election.engine.announcer.campaign(election.name.clone())),
        leaving: None,
        application,
        sentinel,
        commands: commands.clone(),
        received,
        publish,
        ends_with_start: job.ends_with_start(),
        job: Some(job),
        claim: None,
        asking: None,
        renewals: None,
        releasing: None,
        running: None,
        wake: None,
        lapsed: false,
        meters: ElectionMeters::new(&election.name),
        election,
    };
    background.spawn(driver.run());
    ElectionHandle { commands, status, clock }
}

struct Driver {
    election: Election,
    machine: Machine,
    /// This is `None` only while the driver is dropped.
    job: Option<Arc<dyn Job>>,
    ends_with_start: bool,
    hints: Subscription,
    /// This is `None` once the instance leaves the election.
    campaign: Option<Campaign>,
    /// This future withdraws the announcement; it is set once the instance leaves.
    leaving: Option<BoxFuture<'static, ()>>,
    application: Handle,
    /// This task ends with the application's runtime; it is `None` if the election runs there too.
    sentinel: Option<JoinHandle<()>>,
    /// Each term's leadership gets one; a handle that is dropped says so by a command.
    commands: mpsc::UnboundedSender<Command>,
    received: mpsc::UnboundedReceiver<Command>,
    publish: watch::Sender<Status>,
    /// The latest attempt's claim, unless a call has it.
    claim: Option<Claim>,
    asking: Option<BoxFuture<'static, (Claim, Answer<AcquireOutcome>)>>,
    /// These renew the term's lease, from its first renewal until the term ends.
    renewals: Option<Renewals>,
    releasing: Option<BoxFuture<'static, (Claim, Result<ReleaseOutcome>)>>,
    running: Option<Running>,
    /// The machine's wish, and the moment that was drawn for it.
    wake: Option<(Wake, Moment)>,
    /// The term's lease was extended when its leadership was no longer trusted.
    lapsed: bool,
    meters: ElectionMeters,
}

impl Driver {
    async fn run(mut self) {
        while self.machine.standing() != Standing::Ended {
            let event = self.next_event().await;
            let (job_ended, tick) = (event == Event::JobEnded, event == Event::Tick);
            let actions = self.machine.handle(event, self.election.engine.now());
            for action in actions {
                if tick && matches!(action, Action::Renew(_)) {
                    self.heard::<()>(&Err(self.unanswered()));
                }
                self.perform(action);
            }
            if job_ended {
                // Not earlier: whoever has kept the leadership is told that it is over.
                self.running = None;
            }
            self.publish();
            if let Some(by) = self.machine.leave_deadline() {
                self.leave(by);
            }
        }
        // Calls that the store did not answer in time go on in the background.
        (self.asking, self.releasing, self.claim) = (None, None, None);
        self.leave(self.election.engine.now() + self.election.timing.leave_timeout());
        if let Some(leaving) = self.leaving.take() {
            leaving.await;
        }
    }

    /// Withdraws the announcement, at the same time as the lease is released.
    fn leave(&mut self, by: Moment) {
        if let Some(campaign) = self.campaign.take() {
            self.leaving = Some(campaign.leave(by).boxed());
        }
    }

    async fn next_event(&mut self) -> Event {
        let engine = &self.election.engine;
        if std::mem::take(&mut self.lapsed) {
            return Event::Renewed {
                sent: engine.now(),
                reply: RenewReply::Lost,
                under_way: false,
            };
        }
        let tick = match self.machine.wake() {
            Some(wake) => {
                // Drawn once per wish, not anew at every event in between.
                let drawn = self.wake.filter(|(last, _)| *last == wake).map(|(_, at)| at);
                let at = drawn.unwrap_or_else(|| wake.at + engine.jitter(wake.spread));
                self.wake = Some((wake, at));
                engine.calls.clock().sleep_until(at)
            }
            None => std::future::pending().boxed(),
        };
        tokio::select! {
            biased;
            Some(command) = self.received.recv() => match command {
                Command::Resign(term) => {
                    let led = self.running.as_ref().map(|running| running.leadership.token);
                    // A resignation from a term that is over must not end the next one.
                    if Some(term) == led { Event::Resign } else { Event::Tick }
                }
                Command::ShutDown => Event::ShutDown,
            },
            () = ended(&mut self.sentinel) => Event::RuntimeGone,
            outcome = running(&mut self.running) => match outcome {
                Outcome::StartFailed(error) => Event::StartFailed(error),
                Outcome::Finished => Event::Finished,
                Outcome::Ended => Event::JobEnded,
            },
            (claim, answer) = under_way(&mut self.asking) => {
                self.claim = Some(claim);
                self.saw(&answer);
                Event::Asked { sent: answer.sent, reply: (&answer.outcome).into() }
            }
            (answer, under_way) = renewed(&mut self.renewals) => {
                if let (Ok(RenewOutcome::Extended { .. }), Some(running)) =
                    (&answer.outcome, &self.running)
                {
                    engine.calls.meters().confirmed(running.leadership.remaining());
                }
                self.heard(&answer.outcome);
                let reply = (&answer.outcome).into();
                Event::Renewed { sent: answer.sent, reply, under_way }
            }
            (claim, outcome) = under_way(&mut self.releasing) => {
                self.claim = Some(claim);
                self.heard(&outcome);
                Event::Released(outcome.is_ok())
            }
            () = under_way(&mut self.leaving) => Event::Tick,
            // Before hints, lest a flood of them keep a leader from stepping down.
            () = tick => Event::Tick,
            () = self.hints.changed() => Event::Hint,
        }
    }

    fn perform(&mut self, action: Action) {
        let Election { engine, name, timing } = &self.election;
        match action {
            Action::Ask(attempt) => {
                let last = self.claim.take().filter(|_| attempt == Attempt::Same);
                let claim =
                    last.unwrap_or_else(|| Claim::new(engine.clone(), name.clone(), timing));
                self.asking = Some(claim.ask(timing.ttl).boxed());
            }
            Action::Renew(beat) => {
                if let (Some(claim), None) = (&self.claim, &self.renewals) {
                    let lease = claim.lease();
                    let renewal = RenewOptions { name: name.clone(), lease, ttl: timing.ttl };
                    self.renewals = Some(Renewals::new(engine.clone(), renewal, timing));
                }
                if let Some(renewals) = &mut self.renewals {
                    renewals.ask(beat);
                }
            }
            Action::Release(limit) => {
                self.releasing = self.claim.take().map(|mut claim| {
                    async move {
                        let outcome = claim.release(limit).await;
                        (claim, outcome)
                    }
                    .boxed()
                });
            }
            Action::Start { token, deadline } => self.start(token, deadline),
            Action::Trust(deadline) => {
                if let Some(running) = &self.running {
                    self.lapsed = !running.leadership.trust.extend(deadline);
                }
            }
            Action::Distrust => self.with_running(|running| running.leadership.trust.end(None)),
            Action::Stop(reason) => {
                self.renewals = None;
                info!(lock = name.as_str(), %reason, "stepping down");
                self.meters.ends(&reason);
                self.with_running(|running| running.stop(reason));
            }
            Action::AbortStart => {
                error!(lock = name.as_str(), "the lease is over: the job's work is aborted");
                self.with_running(|running| running.abort_start());
            }
            Action::AbortAll => {
                error!(
                    lock = name.as_str(),
                    grace = ?timing.stop_grace,
                    "the job did not stop in time and is aborted; what it does without awaiting \
                     may go on, so the lease is not released but runs out"
                );
                self.meters.overran();
                self.publish.send_modify(|status| status.overruns += 1);
                self.with_running(|running| running.abort_all());
            }
            Action::LetExpire => {
                if let Some(claim) = &mut self.claim {
                    claim.let_expire();
                }
            }
        }
    }

    fn start(&mut self, token: FencingToken, deadline: Moment) {
        let Some(job) = self.job.clone() else { return };
        let Election { engine, name, .. } = &self.election;
        info!(lock = name.as_str(), token = token.get(), "leading");
        let leadership = Leadership {
            name: name.clone(),
            token,
            trust: Arc::new(Trust::until(deadline, engine.calls.clock().clone())),
            cancellation: CancellationToken::new(),
            commands: self.commands.clone(),
        };
        let holder = engine.holder.clone();
        // Before the job starts, on another thread perhaps: whoever learns of the term from the job
        // finds it in the status, and can resign from it.
        self.publish.send_modify(|status| {
            status.standing = Standing::Leading;
            status.terms += 1;
            status.token = Some(token);
            status.leader = Some(holder);
        });
        let leading = self.meters.began();
        let application = self.application.clone();
        let ends = self.ends_with_start;
        self.running = Some(Running::start(application, job, ends, leadership, leading));
    }

    fn with_running(&mut self, act: impl FnOnce(&mut Running)) {
        if let Some(running) = &mut self.running {
            act(running);
        }
    }

    /// Keeps for the status what an attempt showed of the others.
    fn saw(&mut self, answer: &Answer<AcquireOutcome>) {
        self.heard(&answer.outcome);
        let (leader, disabled) = match &answer.outcome {
            Ok(AcquireOutcome::Held(held)) => (Some(held.holder.clone()), None),
            Ok(AcquireOutcome::Disabled(disabled)) => (None, Some(disabled.clone())),
            Ok(AcquireOutcome::Granted(_)) => (None, None),
            Err(_) => return,
        };
        self.meters.saw_disabled(disabled.is_some());
        let here = self.election.engine.holder.instance;
        if leader.as_ref().is_some_and(|leader| leader.instance != here) {
            self.meters.saw_another();
        }
        self.publish.send_modify(|status| {
            status.leader = leader;
            status.disabled = disabled;
        });
    }

    /// Records in the status whether the store answers; the log reports an outage once per client.
    fn heard<T>(&mut self, outcome: &Result<T>) {
        let error = outcome.as_ref().err().cloned();
        let had = self.publish.borrow().error.is_some();
        if had || error.is_some() {
            self.publish.send_modify(|status| status.error = error);
        }
    }

    /// The error of a heartbeat that has no answer by the time of its retry.
    fn unanswered(&self) -> Error {
        let Election { engine, name, timing } = &self.election;
        let waited = timing.retry_interval();
        Error::new(ErrorKind::OutcomeUnknown, format!("no answer within {waited:?}"))
            .during("renew")
            .for_lock(name)
            .on_store(engine.calls.label())
    }

    fn publish(&self) {
        let standing = self.machine.standing();
        self.publish.send_if_modified(|status| {
            let changed = status.standing != standing;
            status.standing = standing;
            if matches!(standing, Standing::Candidate | Standing::Ended) && changed {
                status.token = None;
                status.leader = None;
            }
            changed
        });
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(sentinel) = &self.sentinel {
            sentinel.abort();
        }
        // A term is cut off only if this task panicked or its runtime shuts down. What its job does
        // may go on, so the lease is not released.
        if let Some(running) = &self.running {
            running.abort_all();
            if let Some(claim) = &mut self.claim {
                claim.let_expire();
            }
        }
        self.running = None;
        // The job's destructor may block, and this may be the thread of all heartbeats.
        if let Some(job) = self.job.take() {
            self.application.spawn(async move { drop(job) });
        }
    }
}

/// The end of a call, once; pending when none is under way.
async fn under_way<T>(call: &mut Option<BoxFuture<'static, T>>) -> T {
    let Some(running) = call else { return std::future::pending().await };
    let ended = running.await;
    *call = None;
    ended
}

/// Returns the next answer to a renewal, and whether another renewal is unanswered; it stays
/// pending while no renewal was asked for.
async fn renewed(renewals: &mut Option<Renewals>) -> (Answer<RenewOutcome>, bool) {
    let Some(renewals) = renewals else { return std::future::pending().await };
    let answer = renewals.next().await;
    (answer, renewals.under_way())
}

/// Waits for the task to end and clears it; it stays pending when there is no task.
async fn ended(task: &mut Option<JoinHandle<()>>) {
    let Some(running) = task else { return std::future::pending().await };
    let _ = running.await;
    *task = None;
}

/// What becomes of the job; pending when none runs.
async fn running(running: &mut Option<Running>) -> Outcome {
    match running {
        Some(running) => running.next().await,
        None => std::future::pending().await,
    }
}
