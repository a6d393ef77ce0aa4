//! The driver runs a [`Machine`] under tokio: it waits for events and performs the actions.

mod actions;
mod reporting;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::command::Command;
use super::fence::TermFence;
use super::job_tasks::{JobOutcome, JobTasks};
use super::machine::{Action, Event, Machine, Role};
use super::{ElectionHandle, Job, Status};
use crate::engine::{Candidacy, Change, Engine, Subscription};
use crate::lease::machine::{Event as LeaseEvent, RenewReply, Request};
use crate::lease::{EntryOptions, HintRaces, HintSpread, LeaseRequests, TickTimer};
use crate::telemetry::ElectionMetrics;
use crate::{FencingToken, LockName, Moment, Timing};

/// Starts the election. This must be called within the application's runtime, where the job runs.
/// The election runs in the client's background runtime, so it does not depend on what the job does
/// to the application's runtime.
pub(super) fn spawn(
    engine: Arc<Engine>,
    name: LockName,
    timing: Arc<Timing>,
    (fence, entry): (Option<TermFence>, Option<EntryOptions>),
    job: Arc<dyn Job>,
) -> ElectionHandle {
    let job_runtime = Handle::current();
    let background = engine.background.runtime();
    let separate = background.id() != job_runtime.id();
    let runtime_watcher = separate.then(|| job_runtime.spawn(std::future::pending()));
    let clock = engine.store.clock().clone();
    let (commands, command_receiver) = mpsc::unbounded_channel();
    let (status_sender, status) = watch::channel(Status::default());
    let machine = Machine::new(timing.clone(), engine.now());
    let driver = Driver {
        machine: if entry.is_some() { machine.with_entry() } else { machine },
        hints: engine.hint_dispatcher.subscribe(name.clone()),
        candidacy: Some(engine.announcer.register_candidate(name.clone())),
        withdrawing: None,
        job_runtime,
        runtime_watcher,
        commands: commands.clone(),
        command_receiver,
        status_sender,
        ends_when_start_returns: job.ends_when_start_returns(),
        job: Some(job),
        fence,
        requests: LeaseRequests::new(
            engine.clone(),
            name.clone(),
            timing.clone(),
            timing.ttl.saturating_sub(timing.tolerance),
            entry,
        ),
        tasks: None,
        timer: TickTimer::default(),
        hint_spread: HintSpread::default(),
        races: HintRaces::default(),
        trust_expired: false,
        metrics: ElectionMetrics::new(&name),
        engine,
        name,
        timing,
    };
    background.spawn(driver.run());
    ElectionHandle { commands, status, clock }
}

struct Driver {
    engine: Arc<Engine>,
    name: LockName,
    timing: Arc<Timing>,
    machine: Machine,
    /// The job is set until the driver is dropped.
    job: Option<Arc<dyn Job>>,
    ends_when_start_returns: bool,
    /// This fence is raised before the job of each term starts.
    fence: Option<TermFence>,
    hints: Subscription,
    /// The candidacy is set until the instance leaves the election.
    candidacy: Option<Candidacy>,
    /// This future withdraws the announcement; it is set once the instance leaves.
    withdrawing: Option<BoxFuture<'static, ()>>,
    job_runtime: Handle,
    /// This task ends with the application's runtime; there is none if the election runs there too.
    runtime_watcher: Option<JoinHandle<()>>,
    /// Each term's leadership gets a clone; a dropped handle sends a command too.
    commands: mpsc::UnboundedSender<Command>,
    command_receiver: mpsc::UnboundedReceiver<Command>,
    status_sender: watch::Sender<Status>,
    requests: LeaseRequests,
    tasks: Option<JobTasks>,
    timer: TickTimer,
    hint_spread: HintSpread,
    /// These are the races of this candidate against others.
    races: HintRaces,
    /// The term's lease was extended when its leadership was no longer trusted.
    trust_expired: bool,
    metrics: ElectionMetrics,
}

impl Driver {
    async fn run(mut self) {
        while self.machine.role() != Role::Ended {
            let Some(event) = self.next_event().await else { continue };
            let (job_ended, tick) = (event == Event::JobEnded, event == Event::TICK);
            let actions = self.machine.handle(event, self.engine.now());
            // One that waits its turn has no reply because it was not sent.
            let unanswered = tick && self.requests.awaits_renewal();
            for action in actions {
                if unanswered && matches!(action, Action::Send(Request::Renew(_))) {
                    self.record_store_result::<()>(&Err(self.no_reply()));
                }
                self.perform(action);
            }
            if job_ended {
                // The actions come first, because they end the trust of a leadership that the job
                // has kept.
                self.tasks = None;
            }
            self.publish();
            if let Some(by) = self.machine.leave_deadline() {
                self.withdraw(by);
            }
        }
        // Calls without a reply by now continue in the background.
        self.requests.abandon();
        self.withdraw(self.engine.now() + self.timing.leave_timeout());
        if let Some(withdrawing) = self.withdrawing.take() {
            withdrawing.await;
        }
    }

    /// Withdraws the announcement, at the same time as the lease is released.
    fn withdraw(&mut self, by: Moment) {
        if let Some(candidacy) = self.candidacy.take() {
            self.withdrawing = Some(candidacy.withdraw_by(by).boxed());
        }
    }

    /// Waits for the next event; returns `None` if a hint came that is held back.
    async fn next_event(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.trust_expired) {
            let (sent, reply) = (self.engine.now(), RenewReply::Lost);
            return Some(Event::Lease(LeaseEvent::RenewReplied { sent, reply, in_flight: false }));
        }
        let tick = self.timer.sleep(self.machine.next_tick(), &self.engine);
        let event = tokio::select! {
            biased;
            Some(command) = self.command_receiver.recv() => match command {
                Command::Resign(term) => self.event_of_term(term, Event::Resign),
                Command::Stale(term) => self.event_of_term(term, Event::Stale),
                Command::ShutDown => Event::ShutDown,
            },
            () = join_once(&mut self.runtime_watcher) => Event::RuntimeShutDown,
            outcome = next_outcome(&mut self.tasks) => match outcome {
                JobOutcome::StartFailed(error) => Event::StartFailed(error),
                JobOutcome::Finished => Event::Finished,
                JobOutcome::Ended => Event::JobEnded,
            },
            reply = self.requests.next() => {
                self.record(&reply);
                Event::Lease((&reply).into())
            }
            () = finish(&mut self.withdrawing) => Event::TICK,
            // The tick comes before hints, so that a flood of hints cannot keep a leader from
            // stepping down.
            () = tick => Event::TICK,
            () = self.engine.sleep_until(self.hint_spread.due()) => {
                self.hint_spread.pass_on();
                Event::Lease(LeaseEvent::Hint)
            }
            change = self.hints.changed() => return self.event_of(change),
        };
        Some(event)
    }

    /// Returns the event if this instance still leads that term. A command that was sent in an
    /// earlier term must not end the present one.
    fn event_of_term(&self, term: FencingToken, event: Event) -> Event {
        let led = self.tasks.as_ref().map(|tasks| tasks.leadership.token);
        if Some(term) == led { event } else { Event::TICK }
    }

    /// Returns the event of a change, or `None` if it is a hint that a candidate holds back. A
    /// leader renews its lease at once.
    fn event_of(&mut self, change: Change) -> Option<Event> {
        let engine = &self.engine;
        let draw = |spread| engine.jitter(spread);
        let held_back = change == Change::Hint
            && self.machine.role() == Role::Candidate
            && !self.hint_spread.take(engine.now(), self.races.spread(), draw);
        (!held_back).then(|| Event::Lease(change.into()))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(watcher) = &self.runtime_watcher {
            watcher.abort();
        }
        // A term ends here only if this task panicked or its runtime shuts down. Its job's work may
        // continue, so the lease is not released.
        if let Some(tasks) = &self.tasks {
            tasks.abort_all();
            self.requests.never_release();
        }
        self.tasks = None;
        // The job's destructor may block, and this may be the thread of all heartbeats.
        if let Some(job) = self.job.take() {
            self.job_runtime.spawn(async move { drop(job) });
        }
    }
}

/// Waits for the future to end and clears it; it stays pending when there is none.
async fn finish(future: &mut Option<BoxFuture<'static, ()>>) {
    let Some(running) = future else { return std::future::pending().await };
    running.await;
    *future = None;
}

/// Waits for the task to end and clears it; it stays pending when there is no task.
async fn join_once(task: &mut Option<JoinHandle<()>>) {
    let Some(running) = task else { return std::future::pending().await };
    let _ = running.await;
    *task = None;
}

/// Waits for the next outcome of the job; it stays pending when no job runs.
async fn next_outcome(tasks: &mut Option<JobTasks>) -> JobOutcome {
    match tasks {
        Some(tasks) => tasks.next().await,
        None => std::future::pending().await,
    }
}
