//! The command gets the terminal of `run` as under a shell: its group is the foreground group while
//! it runs, and this process's own group otherwise.

use std::fs::File;
use std::time::Duration;

use leasehold::{Clock, Moment, SystemClock};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_current_process_group, test_kill_process_group};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp};

use super::process_group::ProcessGroup;
use super::{own_group, signal_mask};
use crate::io::stderr::say;

/// The interval of checks whether a stopped command can continue.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// This value has the controlling terminal, and the group to which it is returned.
#[derive(Debug)]
struct Terminal {
    device: File,
    own: Pid,
}

impl Terminal {
    fn open() -> Option<Self> {
        let own = signal_mask::own_group()?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let device = openat(CWD, "/dev/tty", flags, Mode::empty()).ok()?;
        Some(Self { device: device.into(), own })
    }

    fn has_foreground(&self, group: Pid) -> bool {
        tcgetpgrp(&self.device) == Ok(group)
    }

    fn modes(&self) -> Option<Termios> {
        tcgetattr(&self.device).ok()
    }

    fn set_modes(&self, modes: Option<&Termios>) {
        if let Some(modes) = modes {
            // The mode is not "drain", which would wait while the terminal's output is stopped.
            let _ = tcsetattr(&self.device, OptionalActions::Now, modes);
        }
    }
}

/// Job control tracks which process group has the terminal, and whether the command is stopped.
#[derive(Debug)]
pub(super) struct JobControl {
    terminal: Option<Terminal>,
    group: ProcessGroup,
    /// The modes before the command got the terminal, while it has it.
    lent: Option<Option<Termios>>,
    /// The command got the terminal only when it used it, so that other processes of this process's
    /// group may be stopped because they used it too.
    lent_late: bool,
    stopped: Stopped,
}

#[derive(Debug)]
enum Stopped {
    No,
    /// The command used the terminal in the background; it continues when this group is in the
    /// foreground.
    WaitsForTerminal,
    /// The user suspended the command, and this process with it.
    Suspended {
        /// After this time this process has most likely been continued, since it does not run while
        /// it is stopped.
        until: Moment,
        /// The command's own modes.
        modes: Option<Termios>,
    },
}

impl JobControl {
    /// Creates the job control of the command in that group, which does not run yet.
    pub(super) fn new(group: ProcessGroup) -> Self {
        let stopped = Stopped::No;
        Self { terminal: Terminal::open(), group, lent: None, lent_late: false, stopped }
    }

    /// Gives the terminal to the command if it is also the standard input and output.
    ///
    /// Otherwise this process may be part of a pipeline whose other commands use the terminal, such
    /// as a pager. Then the command gets it when it first uses it. If it never does, Ctrl-C reaches
    /// all processes of this process's group.
    pub(super) fn begin(&mut self) {
        // For a terminal other than the controlling one these are errors.
        if tcgetpgrp(std::io::stdin()).is_ok() && tcgetpgrp(std::io::stdout()).is_ok() {
            self.lend(None);
        }
    }

    /// Returns whether the command has the terminal, so that the keyboard's signals go to it alone.
    pub(super) fn is_lent(&self) -> bool {
        self.lent.is_some()
    }

    /// Returns whether the command is stopped, so that [`look`](Self::look) must be called
    /// regularly.
    pub(super) fn is_stopped(&self) -> bool {
        !matches!(self.stopped, Stopped::No)
    }

    /// Reacts to a stop of the command.
    pub(super) fn command_stopped(&mut self, signal: Option<Signal>, left: Duration) {
        let touched = matches!(signal, Some(Signal::TTIN | Signal::TTOU));
        if self.terminal.is_none() || (!touched && self.lent.is_none()) {
            say("the command was stopped; the lock stays held until it is continued or ended");
        } else if !touched {
            self.suspend(left);
        } else if self.lend(None) {
            self.lent_late = true;
            self.group.signal(Signal::CONT);
        } else {
            self.stopped = Stopped::WaitsForTerminal;
            say("the command was stopped because it needs the terminal; the lock stays held. \
                 Bring it to the foreground, or end it");
        }
    }

    /// Continues a stopped command if it can run, and if the lease still allows it.
    pub(super) fn look(&mut self, is_held: bool) {
        match &mut self.stopped {
            Stopped::No => {}
            Stopped::WaitsForTerminal => {
                if self.lend(None) {
                    self.lent_late = true;
                    self.stopped = Stopped::No;
                    self.group.signal(Signal::CONT);
                } else if self.is_gone() {
                    self.stopped = Stopped::No;
                    self.group.hang_up();
                }
            }
            Stopped::Suspended { until, modes } => {
                if *until <= SystemClock.now() {
                    let modes = modes.take();
                    self.stopped = Stopped::No;
                    if is_held {
                        self.lend(modes.as_ref());
                        self.group.signal(Signal::CONT);
                    }
                }
            }
        }
    }

    /// Takes the terminal back, and restores its modes if the command could not do so.
    pub(super) fn take_back(&mut self, restore: bool) {
        let (Some(terminal), Some(modes)) = (&self.terminal, self.lent.take()) else { return };
        // If a shell has taken the terminal from the stopped group, it is not taken from the shell.
        let ours = match tcgetpgrp(&terminal.device) {
            Ok(group) => group == self.group.pid() || test_kill_process_group(group).is_err(),
            Err(_) => false,
        };
        if ours {
            let _ = tcsetpgrp(&terminal.device, terminal.own);
            terminal.set_modes(modes.as_ref().filter(|_| restore));
        }
        if std::mem::take(&mut self.lent_late) {
            // Processes that were stopped because they used the terminal in the background can
            // continue.
            let _ = kill_current_process_group(Signal::CONT);
        }
    }

    /// Puts the command in the foreground if this process's group is there, and returns whether it
    /// was.
    fn lend(&mut self, modes: Option<&Termios>) -> bool {
        let Some(terminal) = &self.terminal else { return false };
        if !terminal.has_foreground(terminal.own) {
            return false;
        }
        let before = terminal.modes();
        if tcsetpgrp(&terminal.device, self.group.pid()).is_err() {
            return false;
        }
        terminal.set_modes(modes);
        self.lent = Some(before);
        true
    }

    /// Stops this process's group too, as the shell that started it expects. Its heartbeats then
    /// stop as well, so the watchdog ends the command when the lease ends.
    fn suspend(&mut self, left: Duration) {
        let modes = self.terminal.as_ref().and_then(Terminal::modes);
        // A pager that was stopped early must also be continued at the command's end.
        let lent_late = self.lent_late;
        self.take_back(true);
        self.lent_late = lent_late;
        // The kernel does not stop an orphaned group, since nothing would continue it. Then the
        // command continues at once.
        let has_shell = !own_group::is_orphaned();
        if has_shell {
            let left = left.as_secs();
            say(&format!(
                "suspended; the lock is not renewed while suspended, and the command is ended when \
                 its lease ends, in {left} s at most"
            ));
            let _ = kill_current_process_group(Signal::TSTP);
        }
        let pause = if has_shell { LOOK } else { Duration::ZERO };
        self.stopped = Stopped::Suspended { until: SystemClock.now() + pause, modes };
    }

    /// Returns whether the terminal was hung up.
    fn is_gone(&self) -> bool {
        // The second error means that the terminal is no longer the controlling one: its session
        // has ended.
        self.terminal.as_ref().is_none_or(|terminal| {
            matches!(tcgetpgrp(&terminal.device), Err(Errno::IO | Errno::NOTTY))
        })
    }
}

impl Drop for JobControl {
    fn drop(&mut self) {
        self.take_back(true);
    }
}
