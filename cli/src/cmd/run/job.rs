//! The command is the election's job: it is started once per term, on the leader only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use leasehold::election::JobError;
use leasehold::{Job, Leadership, StopReason};
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::Signal;
use tokio::sync::mpsc;

use super::child::Ended;
use super::command_line::cannot_run;
use super::plan::Plan;
use super::running_command::{EndedBy, RunningCommand};
use crate::io::exit::Failure;

/// A job sends these events to its supervisor.
#[derive(Debug)]
pub(super) enum Event {
    /// The command has exited, and not because the lock was lost.
    Exited(Ended),
    /// The term is ending.
    Stopping {
        /// It ends for this reason.
        reason: StopReason,
        /// The job was started in this term, and the command perhaps too. Neither was if the fence
        /// could not be raised.
        started: bool,
    },
    /// The command could not be started.
    NotStarted(Failure),
}

/// A signal forwarder sends signals to a running command.
#[derive(Clone, Debug, Default)]
pub(super) struct SignalForwarder(Arc<Mutex<Option<mpsc::UnboundedSender<Signal>>>>);

impl SignalForwarder {
    /// Forwards a signal, and returns whether there is a command to receive it.
    pub(super) fn forward(&self, signal: Signal) -> bool {
        let sender = self.0.lock();
        sender.as_ref().is_some_and(|sender| sender.send(signal).is_ok())
    }

    /// Waits until there is no command to receive signals.
    pub(super) async fn closed(&self) {
        let sender = self.0.lock().clone();
        if let Some(sender) = sender {
            sender.closed().await;
        }
    }

    fn open(&self) -> mpsc::UnboundedReceiver<Signal> {
        let (sender, receiver) = mpsc::unbounded_channel();
        // The sender of the previous term lost its receiver when the term ended.
        *self.0.lock() = Some(sender);
        receiver
    }
}

/// A command job runs the command while this instance leads.
#[derive(Debug)]
pub(super) struct CommandJob {
    plan: Arc<Plan>,
    events: mpsc::UnboundedSender<Event>,
    forwarder: SignalForwarder,
    /// `start` was called in this term.
    started: AtomicBool,
}

impl CommandJob {
    pub(super) fn new(plan: Arc<Plan>) -> (Self, mpsc::UnboundedReceiver<Event>, SignalForwarder) {
        let (events, received) = mpsc::unbounded_channel();
        let forwarder = SignalForwarder::default();
        let started = AtomicBool::new(false);
        (Self { plan, events, forwarder: forwarder.clone(), started }, received, forwarder)
    }

    fn send(&self, event: Event) {
        // This fails only if the supervisor no longer needs events.
        let _ = self.events.send(event);
    }
}

#[async_trait]
impl Job for CommandJob {
    /// Runs until the command and its group have ended. If it is aborted, it kills the group.
    async fn start(&self, leadership: Leadership) -> Result<(), JobError> {
        self.started.store(true, Ordering::Release);
        let signals = self.forwarder.open();
        let command = RunningCommand::start(self.plan.clone(), leadership, signals).await;
        let mut command = match command {
            Ok(Some(command)) => command,
            // The term ended before the command started; `stop` reports the reason.
            Ok(None) => return Ok(()),
            Err(error) => {
                let program = &self.plan.command.words()[0];
                let too_big = Errno::from_io_error(&error).filter(|error| *error == Errno::TOOBIG);
                self.send(Event::NotStarted(match too_big {
                    Some(error) => cannot_run(program, error),
                    None => Failure::from(error),
                }));
                return Err("the command was not started".into());
            }
        };
        if let Some(ended) = command.exited().await {
            // This is reported at once: the rest of the group is then ended while the instance
            // leaves the election.
            self.send(Event::Exited(ended));
        }
        match command.finish().await {
            EndedBy::Command | EndedBy::Supervisor => Ok(()),
            EndedBy::Watchdog => {
                Err("the watchdog ended the command because the lease was not renewed".into())
            }
        }
    }

    /// Reports the reason; the leadership is cancelled, so `start` ends the command.
    async fn stop(&self, reason: &StopReason) {
        let started = self.started.swap(false, Ordering::AcqRel);
        self.send(Event::Stopping { reason: reason.clone(), started });
    }
}
