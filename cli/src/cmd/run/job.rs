//! The command as a job of the election: started once per term, on the leader only.

use std::sync::Arc;

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
use super::running_command::{End, RunningCommand};
use crate::io::exit::Failure;

/// What a job tells its supervisor.
#[derive(Debug)]
pub(super) enum Event {
    /// The command has exited, and not because the lock was lost.
    Exited(Ended),
    /// The term is ending.
    Stopping(StopReason),
    /// The command could not be started.
    NotStarted(Failure),
}

/// Where a command that runs receives the signals that are passed on to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbox(Arc<Mutex<Option<mpsc::UnboundedSender<Signal>>>>);

impl Inbox {
    /// Passes a signal on; whether there is a command to receive it.
    pub(super) fn pass_on(&self, signal: Signal) -> bool {
        let inbox = self.0.lock();
        inbox.as_ref().is_some_and(|inbox| inbox.send(signal).is_ok())
    }

    /// Returns when there is no command to receive signals.
    pub(super) async fn closed(&self) {
        let inbox = self.0.lock().clone();
        if let Some(inbox) = inbox {
            inbox.closed().await;
        }
    }

    fn open(&self) -> mpsc::UnboundedReceiver<Signal> {
        let (sender, receiver) = mpsc::unbounded_channel();
        // The one of the term before has lost its receiver, with the term.
        *self.0.lock() = Some(sender);
        receiver
    }
}

/// Runs the command while this instance leads.
#[derive(Debug)]
pub(super) struct CommandJob {
    plan: Arc<Plan>,
    events: mpsc::UnboundedSender<Event>,
    inbox: Inbox,
}

impl CommandJob {
    pub(super) fn new(plan: Arc<Plan>) -> (Self, mpsc::UnboundedReceiver<Event>, Inbox) {
        let (events, received) = mpsc::unbounded_channel();
        let inbox = Inbox::default();
        (Self { plan, events, inbox: inbox.clone() }, received, inbox)
    }

    fn tell(&self, event: Event) {
        // Fails only when the supervisor has what it wanted to know.
        let _ = self.events.send(event);
    }
}

#[async_trait]
impl Job for CommandJob {
    /// Works until the command and its group have ended. Aborted, it kills the group.
    async fn start(&self, leadership: Leadership) -> Result<(), JobError> {
        let signals = self.inbox.open();
        let command = RunningCommand::start(self.plan.clone(), leadership, signals).await;
        let mut command = match command {
            Ok(Some(command)) => command,
            // Over before it began; `stop` says why.
            Ok(None) => return Ok(()),
            Err(error) => {
                let program = &self.plan.command.words()[0];
                let too_big = Errno::from_io_error(&error).filter(|error| *error == Errno::TOOBIG);
                self.tell(Event::NotStarted(match too_big {
                    Some(error) => cannot_run(program, error),
                    None => Failure::from(error),
                }));
                return Err("the command was not started".into());
            }
        };
        if let Some(ended) = command.exited().await {
            // At once: what it left behind is then ended while the election is being left.
            self.tell(Event::Exited(ended));
        }
        match command.finish().await {
            End::Itself | End::Lease => Ok(()),
            End::Watchdog => {
                Err("the guard ended the command, since the lease was not renewed".into())
            }
        }
    }

    /// Says why; `start` has been told by its leadership, and ends the command.
    async fn stop(&self, reason: &StopReason) {
        self.tell(Event::Stopping(reason.clone()));
    }
}
