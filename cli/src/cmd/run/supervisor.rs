//! The supervisor handles the events of a run: it waits, reports, forwards signals, and decides
//! the exit status.

use std::time::Duration;

use leasehold::election::{Role, Status};
use leasehold::{Clock, ElectionHandle, LockName, Moment, StopReason, SystemClock};
use rustix::process::Signal;
use tokio::sync::{mpsc, watch};

use super::child::Ended;
use super::job::{Event, SignalForwarder};
use super::obstacle::Obstacles;
use super::signals::{Signals, asks_to_end, ends_a_wait};
use crate::io::exit::{self, Failure, chain, is_permanent};
use crate::io::stderr::print_message;
use crate::io::table::visible;

/// A supervisor handles one run from the campaign to the exit status.
pub(super) struct Supervisor {
    name: LockName,
    election: ElectionHandle,
    status: watch::Receiver<Status>,
    events: mpsc::UnboundedReceiver<Event>,
    forwarder: SignalForwarder,
    signals: Signals,
    options: RunOptions,
    /// The term is ending, and the command with it.
    stopping: bool,
    /// This forwarded signal asked the command to end.
    interrupted: Option<Signal>,
    /// The store has replied once, so a failure now is an outage and not a mistake of the user.
    store_replied: bool,
    obstacles: Obstacles,
    printed: PrintedMessages,
}

/// The run options say how a run waits for the lock, and how it exits without it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunOptions {
    /// The run waits for the first term until this moment; at the clock's origin, it tries once.
    pub(super) wait: Option<Moment>,
    pub(super) respawn: bool,
    /// If this is true, nothing is printed about a lock that is held or disabled.
    pub(super) quiet: bool,
    /// A run that ends because the lock is held or disabled has this exit status.
    pub(super) conflict_status: u8,
}

/// The release of the lock may take this long once the command has ended, which is a little longer
/// than the engine's own limit.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(7);

/// Each message is printed once; these were printed already.
#[derive(Debug, Default)]
struct PrintedMessages {
    waiting: bool,
    outage: bool,
}

impl Supervisor {
    pub(super) fn new(
        name: LockName,
        election: ElectionHandle,
        events: mpsc::UnboundedReceiver<Event>,
        forwarder: SignalForwarder,
        signals: Signals,
        options: RunOptions,
    ) -> Self {
        Self {
            name,
            status: election.watch(),
            election,
            events,
            forwarder,
            signals,
            options,
            stopping: false,
            interrupted: None,
            store_replied: false,
            obstacles: Obstacles::default(),
            printed: PrintedMessages::default(),
        }
    }

    pub(super) async fn run(mut self) -> Result<u8, Failure> {
        let outcome = loop {
            let wait = self.options.wait.filter(|until| *until != Moment::ORIGIN);
            let ended = tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.on_event(event),
                signal = self.signals.next() => self.on_signal(signal),
                changed = self.status.changed() => match changed {
                    Ok(()) => self.on_status_change(),
                    Err(_) => {
                        let message = "the election ended unexpectedly";
                        Some(Err(Failure::new(exit::FAILED, message)))
                    }
                },
                () = SystemClock.sleep_until(wait.unwrap_or_default()), if wait.is_some() => {
                    self.on_wait_timeout()
                }
            };
            if let Some(outcome) = ended {
                break outcome;
            }
        };
        self.leave().await;
        outcome
    }

    fn on_event(&mut self, event: Event) -> Option<Result<u8, Failure>> {
        let failure = match event {
            Event::Exited(Ended { signal: Some(signal), .. }) => {
                return Some(Err(Failure::by_signal(signal)));
            }
            Event::Exited(Ended { status, .. }) => return Some(Ok(status)),
            Event::Stopping { reason: StopReason::ShutDown, .. } => return None,
            Event::Stopping { reason, started } => {
                self.stopping = true;
                let reason = match reason {
                    StopReason::Failed { error } => error,
                    reason => visible(&reason.to_string()),
                };
                let again = if self.options.respawn { "; campaigning again" } else { "" };
                let ended = if started { "lost" } else { "did not start the command under" };
                let message = format!("{ended} lock {:?}: {reason}{again}", self.name);
                Failure::new(exit::LOST, message)
            }
            Event::NotStarted(failure) => failure,
        };
        if !self.options.respawn {
            return Some(Err(failure));
        }
        // A command that was asked to end must not be restarted.
        if let Some(signal) = self.interrupted {
            return Some(Ok(exit::killed_by(signal.as_raw())));
        }
        failure.report();
        None
    }

    fn on_signal(&mut self, signal: Signal) -> Option<Result<u8, Failure>> {
        if self.forwarder.forward(signal) && !self.stopping {
            // The command's own exit ends the run.
            self.interrupted = self.interrupted.or(Some(signal).filter(|s| asks_to_end(*s)));
            return None;
        }
        ends_a_wait(signal).then(|| Ok(exit::killed_by(signal.as_raw())))
    }

    /// Handles a change of the election's status.
    fn on_status_change(&mut self) -> Option<Result<u8, Failure>> {
        let status = self.status.borrow_and_update().clone();
        if let Some(error) = status.error {
            if !self.store_replied && is_permanent(&error) {
                return Some(Err(error.into()));
            }
            if self.is_single_try_over(status.terms) {
                return Some(Err(Failure::new(exit::NOT_ACQUIRED, chain(&error))));
            }
            if exit::needs_a_restart(&error) {
                return Some(Err(Failure::new(exit::FAILED, chain(&error))));
            }
            if !std::mem::replace(&mut self.printed.outage, true) {
                print_message(&format!("{}; trying again", chain(&error)));
            }
            return None;
        }
        self.printed.outage = false;
        if status.role == Role::Leading {
            (self.store_replied, self.printed.waiting) = (true, false);
            (self.stopping, self.options.wait) = (false, None);
            return None;
        }
        let obstacle = self.obstacles.describe(&status)?;
        self.store_replied = true;
        if self.is_single_try_over(status.terms) {
            return Some(Err(self.conflict_failure(&obstacle)));
        }
        if status.role == Role::Candidate
            && !self.options.quiet
            && !std::mem::replace(&mut self.printed.waiting, true)
        {
            print_message(&format!("waiting for lock {:?}: {obstacle}", self.name));
        }
        None
    }

    fn is_single_try_over(&self, terms: u64) -> bool {
        terms == 0 && self.options.wait == Some(Moment::ORIGIN)
    }

    fn on_wait_timeout(&mut self) -> Option<Result<u8, Failure>> {
        self.options.wait = None;
        let status = self.status.borrow().clone();
        if status.terms > 0 {
            return None;
        }
        Some(Err(match (&status.error, self.obstacles.describe(&status)) {
            (None, Some(obstacle)) => self.conflict_failure(&obstacle),
            (Some(error), _) => self.no_reply(&chain(error)),
            (None, None) => self.no_reply("the store has not responded yet"),
        }))
    }

    /// Ends the run because the lock is held or disabled.
    fn conflict_failure(&self, obstacle: &str) -> Failure {
        match self.options.quiet {
            true => Failure::silent(self.options.conflict_status),
            false => Failure::new(self.options.conflict_status, self.timeout_message(obstacle)),
        }
    }

    /// Ends the run because it is unknown whether the lock is free.
    fn no_reply(&self, why: &str) -> Failure {
        Failure::new(exit::NOT_ACQUIRED, self.timeout_message(why))
    }

    fn timeout_message(&self, why: &str) -> String {
        format!("timed out waiting for lock {:?}: {why}", self.name)
    }

    /// Leaves the election; the command is ended first, and the lease is released.
    async fn leave(self) {
        let Self { election, forwarder, mut signals, .. } = self;
        let mut ended = std::pin::pin!(election.shutdown());
        let mut late = std::pin::pin!(async {
            // The command gets its grace time; a store that hangs does not.
            forwarder.closed().await;
            tokio::time::sleep(RELEASE_TIMEOUT).await;
        });
        loop {
            tokio::select! {
                biased;
                () = &mut ended => return,
                () = &mut late => {
                    print_message(
                        "the store does not respond; the lock becomes free when its lease expires",
                    );
                    return;
                }
                // A second signal ends the wait for a store that does not respond.
                signal = signals.next() => if !forwarder.forward(signal) && ends_a_wait(signal) {
                    return;
                },
            }
        }
    }
}
