//! This module runs the command once, from the start message until its whole group has ended.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use leasehold::{Clock, Leadership, Moment, SystemClock};
use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;

use super::child::{Child, Ended};
use super::plan::Plan;
use super::reaper;
use super::signals::{asks_to_end, ends_a_wait};
use super::terminal::{self, JobControl};
use super::watchdog::{Order, Report, Watchdog};

/// The group is checked this often while it is being ended.
const LOOK: Duration = Duration::from_millis(10);

/// The end says who ended the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The command ended itself, or a signal that was passed on ended it.
    Itself,
    /// The supervisor ended the command because the term had to end.
    Lease,
    /// The watchdog ended the command because the supervisor was late.
    Watchdog,
}

/// A running command has a watchdog. When this value is dropped, the group is killed.
#[derive(Debug)]
pub(super) struct RunningCommand {
    plan: Arc<Plan>,
    leadership: Leadership,
    child: Child,
    /// This is dropped after the child, whose group has the terminal.
    terminal: JobControl,
    watchdog: Watchdog,
    signals: mpsc::UnboundedReceiver<Signal>,
    children: unix::Signal,
    /// The deadline that was sent to the watchdog.
    deadline: Moment,
    end: Option<End>,
    ended: Option<Ended>,
    /// The signals that were passed on to the command.
    passed_on: BTreeSet<i32>,
    terminated: bool,
    kill_at: Option<Moment>,
    killed: bool,
}

impl RunningCommand {
    /// Starts the command under a watchdog; returns `None` if the term ends before that.
    ///
    /// # Cancel safety
    /// If the future is dropped half-way, no process is left running.
    pub(super) async fn start(
        plan: Arc<Plan>,
        leadership: Leadership,
        signals: mpsc::UnboundedReceiver<Signal>,
    ) -> io::Result<Option<Self>> {
        // The handler is installed before the child starts, so that its end is not missed.
        let children = unix::signal(SignalKind::child())?;
        let deadline = leadership.deadline();
        // The only other children now are those left by aborted terms.
        reaper::reap_all();
        let (child, gate) = Child::spawn(&plan, leadership.token())?;
        let patience = leadership.remaining();
        let watchdog = tokio::select! {
            watchdog = Watchdog::start(child.group(), deadline, plan.grace, patience) => watchdog,
            () = leadership.cancelled() => return Ok(None),
        };
        // From here on the group ends in time, whatever happens to this process.
        let mut terminal = JobControl::new(child.group());
        let opened = match watchdog {
            Ok(watchdog) if leadership.is_held() => {
                terminal.begin();
                gate.open().map(|()| watchdog)
            }
            other => other,
        };
        if !leadership.is_held() {
            // There is no time left: the engine is about to step down.
            return Ok(None);
        }
        let watchdog = opened?;
        Ok(Some(Self {
            plan,
            leadership,
            child,
            terminal,
            watchdog,
            signals,
            children,
            deadline,
            end: None,
            ended: None,
            passed_on: BTreeSet::new(),
            terminated: false,
            kill_at: None,
            killed: false,
        }))
    }

    /// Waits until the command has ended, and returns how if it ended itself.
    ///
    /// The signal is only returned if the keyboard sent it to the command alone. It was meant for
    /// this process as well, and for a script around it.
    pub(super) async fn exited(&mut self) -> Option<Ended> {
        while self.ended.is_none() {
            self.step().await;
        }
        let ended = self.ended.filter(|_| self.end == Some(End::Itself))?;
        let from_keyboard = |signal: &Signal| {
            matches!(*signal, Signal::INT | Signal::QUIT)
                && self.terminal.is_lent()
                && !self.passed_on.contains(&signal.as_raw())
        };
        Some(Ended { signal: ended.signal.filter(from_keyboard), ..ended })
    }

    /// Ends the rest of the command's group, and waits until it has ended.
    pub(super) async fn finish(mut self) -> End {
        if self.child.group().is_alive() {
            self.terminate();
            // The instance leaves the election, and the engine counts its grace from about now.
            let aborted_at = SystemClock.now() + self.plan.engine_grace;
            self.kill_by(aborted_at.saturating_sub(self.plan.head_start()));
            while self.child.group().is_alive() {
                self.step().await;
            }
        }
        let status = self.ended.map(|ended| ended.status).filter(|_| !self.killed);
        // A command that was ended by a signal could not restore the terminal's modes.
        self.terminal.take_back(status.is_none_or(|status| status > 128));
        self.child.wait();
        self.watchdog.dismiss();
        self.end.unwrap_or(End::Lease)
    }

    /// Waits for the next event and handles it.
    async fn step(&mut self) {
        let (kill_at, looking) = (self.kill_at, self.ended.is_some() || self.killed);
        self.terminal.look(self.leadership.is_held());
        tokio::select! {
            biased;
            _ = self.children.recv() => self.look_at_child(),
            deadline = self.leadership.deadline_changed(self.deadline) => self.move_deadline(deadline),
            () = self.leadership.cancelled(), if self.end.is_none() => self.stop(),
            report = self.watchdog.report(), if self.end != Some(End::Watchdog) => match report {
                Report::Ending => self.yield_to_watchdog(),
                Report::Gone => self.replace_watchdog().await,
            },
            Some(signal) = self.signals.recv() => self.pass_on(signal),
            () = SystemClock.sleep_until(kill_at.unwrap_or_default()),
                if kill_at.is_some() && !self.killed => self.kill(),
            () = tokio::time::sleep(LOOK), if looking => self.look_at_child(),
            () = tokio::time::sleep(terminal::LOOK), if self.terminal.is_stopped() => {}
        }
    }

    fn look_at_child(&mut self) {
        if self.ended.is_some() {
            return;
        }
        self.ended = self.child.exited();
        if self.ended.is_none()
            && self.end.is_none()
            && let Some(signal) = self.child.stopped()
        {
            self.terminal.command_stopped(signal, self.leadership.remaining());
        }
        if self.ended.is_none() || self.end.is_some() {
            return;
        }
        // After it was stopped and continued, this process may see the command's end before the
        // reason.
        self.end = Some(if self.watchdog.has_acted() {
            End::Watchdog
        } else if self.leadership.is_held() {
            End::Itself
        } else {
            End::Lease
        });
    }

    fn move_deadline(&mut self, deadline: Moment) {
        self.deadline = deadline;
        self.watchdog.tell(Order::Deadline(deadline));
        if deadline == Moment::ORIGIN {
            // The lease has ended, and another instance may hold the lock already, so there is no
            // grace.
            self.end.get_or_insert(End::Lease);
            self.kill();
        }
    }

    /// Ends the command because the term has to end; its grace is at most the time left of the
    /// lease.
    fn stop(&mut self) {
        self.end = Some(End::Lease);
        self.terminate();
        let (now, head_start) = (SystemClock.now(), self.plan.head_start());
        let aborted_at = now + self.plan.engine_grace;
        self.kill_by(now + self.plan.grace);
        self.kill_by(aborted_at.min(self.leadership.deadline()).saturating_sub(head_start));
    }

    fn yield_to_watchdog(&mut self) {
        if self.end != Some(End::Lease) {
            self.end = Some(End::Watchdog);
        }
        self.terminated = true;
        self.kill_by(self.deadline);
    }

    /// Starts a new watchdog, or ends the command, which must not run without one.
    async fn replace_watchdog(&mut self) {
        let patience = self.leadership.remaining();
        let (group, grace) = (self.child.group(), self.plan.grace);
        let deadline = self.leadership.deadline();
        match Watchdog::start(group, deadline, grace, patience).await {
            Ok(watchdog) => {
                std::mem::replace(&mut self.watchdog, watchdog).dismiss();
                self.deadline = deadline;
                if self.terminated {
                    self.watchdog.tell(Order::Terminated);
                }
            }
            Err(_) => {
                self.end.get_or_insert(End::Watchdog);
                self.kill();
            }
        }
    }

    fn pass_on(&mut self, signal: Signal) {
        if signal == Signal::TERM {
            self.note_terminated();
        }
        self.passed_on.insert(signal.as_raw());
        self.child.group().signal(signal);
        if ends_a_wait(signal) {
            // A stopped process must be continued to handle the signal.
            self.child.group().signal(Signal::CONT);
        }
        if asks_to_end(signal) {
            self.kill_by(SystemClock.now() + self.plan.grace);
        }
    }

    /// Sends SIGTERM, but only once: some programs end at once after a second one.
    fn terminate(&mut self) {
        if !self.terminated {
            self.note_terminated();
            self.child.group().terminate();
        }
    }

    fn note_terminated(&mut self) {
        self.terminated = true;
        self.watchdog.tell(Order::Terminated);
    }

    fn kill_by(&mut self, moment: Moment) {
        self.kill_at = Some(self.kill_at.map_or(moment, |at| at.min(moment)));
    }

    fn kill(&mut self) {
        self.child.group().kill();
        self.killed = true;
    }
}
