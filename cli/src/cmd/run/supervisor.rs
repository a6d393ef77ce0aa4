//! The supervisor handles the events of a run: it waits, reports, passes signals on, and decides
//! the exit status.

use std::time::Duration;

use leasehold::election::{Standing, Status};
use leasehold::{Clock, ElectionHandle, LockName, Moment, StopReason, SystemClock};
use rustix::process::Signal;
use tokio::sync::{mpsc, watch};

use super::child::Ended;
use super::job::{Event, Inbox};
use super::signals::{Signals, asks_to_end, ends_a_wait};
use crate::io::exit::{self, Failure, chain, is_callers_fault};
use crate::io::stderr::say;
use crate::io::table::visible;

/// A supervisor handles one run, from the campaign to the exit status.
pub(super) struct Supervisor {
    name: LockName,
    election: ElectionHandle,
    status: watch::Receiver<Status>,
    events: mpsc::UnboundedReceiver<Event>,
    inbox: Inbox,
    signals: Signals,
    manner: Manner,
    /// The term is ending, and the command with it.
    stopping: bool,
    /// The signal that asked the command to end, and was passed on.
    interrupted: Option<Signal>,
    said: Said,
}

/// The manner of a run says how it waits for the lock, and how it exits without it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// The run waits for the first term until this moment; at the clock's origin, it tries once.
    pub(super) wait: Option<Moment>,
    pub(super) respawn: bool,
    /// If this is true, nothing is printed about a lock that is held or disabled.
    pub(super) quiet: bool,
    /// The exit status of a run that ends for that reason.
    pub(super) conflict: u8,
}

/// The release of the lock may take this long once the command has ended: a little longer than the
/// engine's own limit.
const GOODBYE: Duration = Duration::from_secs(7);

/// This value records which messages were already printed.
#[derive(Debug, Default)]
struct Said {
    waiting: bool,
    outage: bool,
    /// The store has replied once, so a failure now is an outage and not a mistake of the user.
    answered: bool,
}

impl Supervisor {
    pub(super) fn new(
        name: LockName,
        election: ElectionHandle,
        events: mpsc::UnboundedReceiver<Event>,
        inbox: Inbox,
        signals: Signals,
        manner: Manner,
    ) -> Self {
        Self {
            name,
            status: election.watch(),
            election,
            events,
            inbox,
            signals,
            manner,
            stopping: false,
            interrupted: None,
            said: Said::default(),
        }
    }

    pub(super) async fn run(mut self) -> Result<u8, Failure> {
        let outcome = loop {
            let wait = self.manner.wait.filter(|until| *until != Moment::ORIGIN);
            let ended = tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.event(event),
                signal = self.signals.next() => self.signal(signal),
                changed = self.status.changed() => match changed {
                    Ok(()) => self.changed(),
                    Err(_) => {
                        let message = "the election ended unexpectedly";
                        Some(Err(Failure::new(exit::FAILED, message)))
                    }
                },
                () = SystemClock.sleep_until(wait.unwrap_or_default()), if wait.is_some() => {
                    self.wait_is_over()
                }
            };
            if let Some(outcome) = ended {
                break outcome;
            }
        };
        self.leave().await;
        outcome
    }

    fn event(&mut self, event: Event) -> Option<Result<u8, Failure>> {
        let failure = match event {
            Event::Exited(Ended { signal: Some(signal), .. }) => {
                return Some(Err(Failure::by_signal(signal)));
            }
            Event::Exited(Ended { status, .. }) => return Some(Ok(status)),
            Event::Stopping(StopReason::ShutDown) => return None,
            Event::Stopping(reason) => {
                self.stopping = true;
                let reason = match reason {
                    StopReason::Failed { error } => error,
                    reason => visible(&reason.to_string()),
                };
                let again = if self.manner.respawn { "; campaigning again" } else { "" };
                Failure::new(exit::LOST, format!("lost lock {:?}: {reason}{again}", self.name))
            }
            Event::NotStarted(failure) => failure,
        };
        if !self.manner.respawn {
            return Some(Err(failure));
        }
        // A command that was asked to end must not be restarted.
        if let Some(signal) = self.interrupted {
            return Some(Ok(exit::killed_by(signal.as_raw())));
        }
        failure.report();
        None
    }

    fn signal(&mut self, signal: Signal) -> Option<Result<u8, Failure>> {
        if self.inbox.pass_on(signal) && !self.stopping {
            // The command's own exit ends the run.
            self.interrupted = self.interrupted.or(Some(signal).filter(|s| asks_to_end(*s)));
            return None;
        }
        ends_a_wait(signal).then(|| Ok(exit::killed_by(signal.as_raw())))
    }

    /// Handles a change of the election's status.
    fn changed(&mut self) -> Option<Result<u8, Failure>> {
        let status = self.status.borrow_and_update().clone();
        if let Some(error) = status.error {
            if !self.said.answered && is_callers_fault(&error) {
                return Some(Err(error.into()));
            }
            if self.tried_enough(status.terms) {
                return Some(Err(Failure::new(exit::NOT_HAD, chain(&error))));
            }
            if exit::needs_a_restart(&error) {
                return Some(Err(Failure::new(exit::FAILED, chain(&error))));
            }
            if !std::mem::replace(&mut self.said.outage, true) {
                say(&format!("{}; trying again", chain(&error)));
            }
            return None;
        }
        self.said.outage = false;
        if status.standing == Standing::Leading {
            (self.said.answered, self.said.waiting) = (true, false);
            (self.stopping, self.manner.wait) = (false, None);
            return None;
        }
        let obstacle = obstacle(&status)?;
        self.said.answered = true;
        if self.tried_enough(status.terms) {
            return Some(Err(self.not_had(&obstacle)));
        }
        if status.standing == Standing::Candidate
            && !self.manner.quiet
            && !std::mem::replace(&mut self.said.waiting, true)
        {
            say(&format!("waiting for lock {:?}: {obstacle}", self.name));
        }
        None
    }

    fn tried_enough(&self, terms: u64) -> bool {
        terms == 0 && self.manner.wait == Some(Moment::ORIGIN)
    }

    fn wait_is_over(&mut self) -> Option<Result<u8, Failure>> {
        self.manner.wait = None;
        let status = self.status.borrow().clone();
        if status.terms > 0 {
            return None;
        }
        Some(Err(match (&status.error, obstacle(&status)) {
            (None, Some(obstacle)) => self.not_had(&obstacle),
            (Some(error), _) => self.no_answer(&chain(error)),
            (None, None) => self.no_answer("the store has not responded yet"),
        }))
    }

    /// Ends the run because the lock is held or disabled.
    fn not_had(&self, obstacle: &str) -> Failure {
        match self.manner.quiet {
            true => Failure::silent(self.manner.conflict),
            false => Failure::new(self.manner.conflict, self.in_time(obstacle)),
        }
    }

    /// Ends the run because it is unknown whether the lock is free.
    fn no_answer(&self, why: &str) -> Failure {
        Failure::new(exit::NOT_HAD, self.in_time(why))
    }

    fn in_time(&self, why: &str) -> String {
        format!("timed out waiting for lock {:?}: {why}", self.name)
    }

    /// Leaves the election; the command is ended first, and the lease is released.
    async fn leave(self) {
        let Self { election, inbox, mut signals, .. } = self;
        let mut ended = std::pin::pin!(election.shutdown());
        let mut late = std::pin::pin!(async {
            // The command gets its grace time; a store that hangs does not.
            inbox.closed().await;
            tokio::time::sleep(GOODBYE).await;
        });
        loop {
            tokio::select! {
                biased;
                () = &mut ended => return,
                () = &mut late => {
                    say("the store does not respond; the lock becomes free when its lease expires");
                    return;
                }
                // A second signal ends the wait for a store that does not respond.
                signal = signals.next() => if !inbox.pass_on(signal) && ends_a_wait(signal) {
                    return;
                },
            }
        }
    }
}

/// Describes what keeps this instance from leading.
fn obstacle(status: &Status) -> Option<String> {
    if let Some(disabled) = &status.disabled {
        return Some(format!("disabled: {}", visible(disabled.reason.as_str())));
    }
    status.leader.as_ref().map(|leader| format!("held by {}", visible(&leader.to_string())))
}
