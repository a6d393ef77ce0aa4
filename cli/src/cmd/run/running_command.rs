//! A running command lasts from the start message until its whole process group has ended.

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
use super::watchdog::{HeldLease, Order, Report, Watchdog};

/// The group is checked this often while it is being ended.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// A command is ended by one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    /// The command ended itself, or a forwarded signal ended it.
    Command,
    /// The supervisor ended the command because the term had to end.
    Supervisor,
    /// The watchdog ended the command because the supervisor was late.
    Watchdog,
}

/// A running command has a watchdog. When this value is dropped, the group is killed.
#[derive(Debug)]
pub(super) struct RunningCommand {
    plan: Arc<Plan>,
    leadership: Leadership,
    child: Child,
    /// This field is dropped after the child, whose group has the terminal.
    terminal: JobControl,
    watchdog: Watchdog,
    signals: mpsc::UnboundedReceiver<Signal>,
    children: unix::Signal,
    /// The watchdog was sent this deadline.
    deadline: Moment,
    ended_by: Option<EndedBy>,
    ended: Option<Ended>,
    /// These signals were forwarded to the command.
    forwarded: BTreeSet<i32>,
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
        let (child, start_socket) = Child::spawn(&plan, &leadership)?;
        let timeout = leadership.remaining();
        let watchdog = tokio::select! {
            watchdog = Watchdog::start(
                child.group(),
                deadline,
                plan.grace,
                held_lease(&plan, &leadership),
                timeout,
            ) => watchdog,
            () = leadership.cancelled() => return Ok(None),
        };
        // From here on the group ends in time, even if this process is killed.
        let mut terminal = JobControl::new(child.group());
        let started = match watchdog {
            Ok(watchdog) if leadership.is_held() => {
                terminal.begin();
                start_socket.send_start().map(|()| watchdog)
            }
            other => other,
        };
        if !leadership.is_held() {
            // There is no time left: the engine is about to step down.
            return Ok(None);
        }
        let watchdog = started?;
        Ok(Some(Self {
            plan,
            leadership,
            child,
            terminal,
            watchdog,
            signals,
            children,
            deadline,
            ended_by: None,
            ended: None,
            forwarded: BTreeSet::new(),
            terminated: false,
            kill_at: None,
            killed: false,
        }))
    }

    /// Waits until the command has ended, and returns its status if it ended itself.
    ///
    /// The signal is only returned if the keyboard sent it to the command alone. It was meant for
    /// this process as well, and for a script around it.
    pub(super) async fn exited(&mut self) -> Option<Ended> {
        while self.ended.is_none() {
            self.step().await;
        }
        let ended = self.ended.filter(|_| self.ended_by == Some(EndedBy::Command))?;
        let from_keyboard = |signal: &Signal| {
            matches!(*signal, Signal::INT | Signal::QUIT)
                && self.terminal.is_in_foreground()
                && !self.forwarded.contains(&signal.as_raw())
        };
        Some(Ended { signal: ended.signal.filter(from_keyboard), ..ended })
    }

    /// Ends the rest of the command's group, and waits until it has ended.
    pub(super) async fn finish(mut self) -> EndedBy {
        if self.child.group().is_alive() {
            self.terminate();
            // The instance leaves the election, and the engine counts its grace from about now.
            let aborted_at = SystemClock.now() + self.plan.engine_grace;
            self.kill_by(aborted_at.saturating_sub(self.plan.kill_margin()));
            while self.child.group().is_alive() {
                self.step().await;
            }
        }
        let status = self.ended.map(|ended| ended.status).filter(|_| !self.killed);
        // A command that was ended by a signal could not restore the terminal's modes.
        self.terminal.reclaim(status.is_none_or(|status| status > 128));
        self.child.wait();
        self.watchdog.stop();
        self.ended_by.unwrap_or(EndedBy::Supervisor)
    }

    /// Waits for the next event and handles it.
    async fn step(&mut self) {
        let (kill_at, checking) = (self.kill_at, self.ended.is_some() || self.killed);
        self.terminal.update(self.leadership.is_held());
        tokio::select! {
            biased;
            _ = self.children.recv() => self.check_child(),
            deadline = self.leadership.deadline_changed(self.deadline) => self.move_deadline(deadline),
            () = self.leadership.cancelled(), if self.ended_by.is_none() => self.stop(),
            report = self.watchdog.report(),
                if self.ended_by != Some(EndedBy::Watchdog) => match report {
                Report::Ending => self.yield_to_watchdog(),
                Report::Exited => self.replace_watchdog().await,
            },
            Some(signal) = self.signals.recv() => self.forward(signal),
            () = SystemClock.sleep_until(kill_at.unwrap_or_default()),
                if kill_at.is_some() && !self.killed => self.kill(),
            () = tokio::time::sleep(CHECK_INTERVAL), if checking => self.check_child(),
            () = tokio::time::sleep(terminal::CHECK_INTERVAL), if self.terminal.is_stopped() => {}
        }
    }

    fn check_child(&mut self) {
        if self.ended.is_some() {
            return;
        }
        self.ended = self.child.exited();
        if self.ended.is_none()
            && self.ended_by.is_none()
            && let Some(signal) = self.child.stopped()
        {
            self.terminal.command_stopped(signal, self.leadership.remaining());
        }
        if self.ended.is_none() || self.ended_by.is_some() {
            return;
        }
        // After it was stopped and continued, this process may see the command's end before the
        // reason.
        self.ended_by = Some(if self.watchdog.has_acted() {
            EndedBy::Watchdog
        } else if self.leadership.is_held() {
            EndedBy::Command
        } else {
            EndedBy::Supervisor
        });
    }

    fn move_deadline(&mut self, deadline: Moment) {
        self.deadline = deadline;
        self.watchdog.send(Order::Deadline(deadline));
        if deadline == Moment::ORIGIN {
            // The lease has ended, and another instance may hold the lock already, so there is no
            // grace.
            self.ended_by.get_or_insert(EndedBy::Supervisor);
            self.kill();
        }
    }

    /// Ends the command because the term has to end; its grace is at most the time left of the
    /// lease.
    fn stop(&mut self) {
        self.ended_by = Some(EndedBy::Supervisor);
        self.terminate();
        let (now, kill_margin) = (SystemClock.now(), self.plan.kill_margin());
        let aborted_at = now + self.plan.engine_grace;
        self.kill_by(now + self.plan.grace);
        self.kill_by(aborted_at.min(self.leadership.deadline()).saturating_sub(kill_margin));
    }

    fn yield_to_watchdog(&mut self) {
        if self.ended_by != Some(EndedBy::Supervisor) {
            self.ended_by = Some(EndedBy::Watchdog);
        }
        self.terminated = true;
        self.kill_by(self.deadline);
    }

    /// Starts a new watchdog, or ends the command, which must not run without one.
    async fn replace_watchdog(&mut self) {
        let timeout = self.leadership.remaining();
        let (group, grace) = (self.child.group(), self.plan.grace);
        let deadline = self.leadership.deadline();
        let lease = held_lease(&self.plan, &self.leadership);
        match Watchdog::start(group, deadline, grace, lease, timeout).await {
            Ok(watchdog) => {
                std::mem::replace(&mut self.watchdog, watchdog).stop();
                self.deadline = deadline;
                if self.terminated {
                    self.watchdog.send(Order::Terminated);
                }
            }
            Err(_) => {
                self.ended_by.get_or_insert(EndedBy::Watchdog);
                self.kill();
            }
        }
    }

    fn forward(&mut self, signal: Signal) {
        if signal == Signal::TERM {
            self.record_terminated();
        }
        self.forwarded.insert(signal.as_raw());
        self.child.group().signal(signal);
        if ends_a_wait(signal) {
            // A stopped process must be continued to handle the signal.
            self.child.group().signal(Signal::CONT);
        }
        if asks_to_end(signal) {
            self.kill_by(SystemClock.now() + self.plan.grace);
        }
    }

    /// Sends SIGTERM, but only once: some programs exit immediately at a second one.
    fn terminate(&mut self) {
        if !self.terminated {
            self.record_terminated();
            self.child.group().terminate();
        }
    }

    fn record_terminated(&mut self) {
        self.terminated = true;
        self.watchdog.send(Order::Terminated);
    }

    fn kill_by(&mut self, moment: Moment) {
        self.kill_at = Some(self.kill_at.map_or(moment, |at| at.min(moment)));
    }

    fn kill(&mut self) {
        self.child.group().kill();
        self.killed = true;
    }
}

/// Returns the lease that the watchdog releases if this process is killed.
fn held_lease(plan: &Plan, leadership: &Leadership) -> Option<HeldLease> {
    let store = plan.store.clone()?;
    let (name, lease, token) = (plan.name.clone(), leadership.lease_id(), leadership.token());
    Some(HeldLease::new(name, lease, token, plan.in_queue, store))
}
