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
use crate::io::stderr::print_message;

/// The supervisor checks at this interval whether a stopped command can continue.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// A terminal is the controlling terminal, with the process group to which it is returned.
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
            // "Drain" would wait while the terminal's output is stopped.
            let _ = tcsetattr(&self.device, OptionalActions::Now, modes);
        }
    }
}

/// Job control tracks which process group has the terminal, and whether the command is stopped.
#[derive(Debug)]
pub(super) struct JobControl {
    terminal: Option<Terminal>,
    group: ProcessGroup,
    /// The terminal had these modes before the command got it; `None` means that the command
    /// does not have it.
    saved_modes: Option<Option<Termios>>,
    /// The command got the terminal only when it used it, so that other processes of this process's
    /// group may be stopped because they used it too.
    moved_on_demand: bool,
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
        /// The command set these modes itself.
        modes: Option<Termios>,
    },
}

impl JobControl {
    /// Creates the job control of the command in that group, which does not run yet.
    pub(super) fn new(group: ProcessGroup) -> Self {
        let stopped = Stopped::No;
        Self {
            terminal: Terminal::open(),
            group,
            saved_modes: None,
            moved_on_demand: false,
            stopped,
        }
    }

    /// Moves the command to the foreground if the terminal is also the standard input and output.
    ///
    /// Otherwise this process may be part of a pipeline whose other commands use the terminal, such
    /// as a pager. Then the command gets it when it first uses it. If it never does, Ctrl-C reaches
    /// all processes of this process's group.
    pub(super) fn begin(&mut self) {
        // These calls fail for a terminal other than the controlling one.
        if tcgetpgrp(std::io::stdin()).is_ok() && tcgetpgrp(std::io::stdout()).is_ok() {
            self.move_to_foreground(None);
        }
    }

    /// Returns whether the command has the terminal, so that the keyboard's signals go to it alone.
    pub(super) fn is_in_foreground(&self) -> bool {
        self.saved_modes.is_some()
    }

    /// Returns whether the command is stopped, so that [`update`](Self::update) must be called
    /// regularly.
    pub(super) fn is_stopped(&self) -> bool {
        !matches!(self.stopped, Stopped::No)
    }

    /// Reacts to a stop of the command.
    pub(super) fn command_stopped(&mut self, signal: Option<Signal>, left: Duration) {
        let used_terminal = matches!(signal, Some(Signal::TTIN | Signal::TTOU));
        if self.terminal.is_none() || (!used_terminal && self.saved_modes.is_none()) {
            print_message(
                "the command was stopped; the lock stays held until it is continued or ended",
            );
        } else if !used_terminal {
            self.suspend(left);
        } else if self.move_to_foreground(None) {
            self.moved_on_demand = true;
            self.group.signal(Signal::CONT);
        } else {
            self.stopped = Stopped::WaitsForTerminal;
            print_message(
                "the command was stopped because it needs the terminal; the lock stays held. \
                 Bring it to the foreground, or end it",
            );
        }
    }

    /// Continues a stopped command if it can run, and if the lease still allows it.
    pub(super) fn update(&mut self, is_held: bool) {
        match &mut self.stopped {
            Stopped::No => {}
            Stopped::WaitsForTerminal => {
                if self.move_to_foreground(None) {
                    self.moved_on_demand = true;
                    self.stopped = Stopped::No;
                    self.group.signal(Signal::CONT);
                } else if self.is_hung_up() {
                    self.stopped = Stopped::No;
                    self.group.hang_up();
                }
            }
            Stopped::Suspended { until, modes } => {
                if *until <= SystemClock.now() {
                    let modes = modes.take();
                    self.stopped = Stopped::No;
                    if is_held {
                        self.move_to_foreground(modes.as_ref());
                        self.group.signal(Signal::CONT);
                    }
                }
            }
        }
    }

    /// Takes the terminal back, and restores its modes if the command could not do so.
    pub(super) fn reclaim(&mut self, restore: bool) {
        let (Some(terminal), Some(modes)) = (&self.terminal, self.saved_modes.take()) else {
            return;
        };
        // If a shell has taken the terminal from the stopped group, the shell keeps it.
        let ours = match tcgetpgrp(&terminal.device) {
            Ok(group) => group == self.group.pid() || test_kill_process_group(group).is_err(),
            Err(_) => false,
        };
        if ours {
            let _ = tcsetpgrp(&terminal.device, terminal.own);
            terminal.set_modes(modes.as_ref().filter(|_| restore));
        }
        if std::mem::take(&mut self.moved_on_demand) {
            // Processes that were stopped because they used the terminal in the background can
            // continue.
            let _ = kill_current_process_group(Signal::CONT);
        }
    }

    /// Moves the command to the foreground if this process's group is there, and returns whether it
    /// was.
    fn move_to_foreground(&mut self, modes: Option<&Termios>) -> bool {
        let Some(terminal) = &self.terminal else { return false };
        if !terminal.has_foreground(terminal.own) {
            return false;
        }
        let before = terminal.modes();
        if tcsetpgrp(&terminal.device, self.group.pid()).is_err() {
            return false;
        }
        terminal.set_modes(modes);
        self.saved_modes = Some(before);
        true
    }

    /// Stops this process's group too, as the shell that started it expects. Its heartbeats then
    /// stop as well, so the watchdog ends the command when the lease ends.
    fn suspend(&mut self, left: Duration) {
        let modes = self.terminal.as_ref().and_then(Terminal::modes);
        // A pager that was stopped early must also be continued at the command's end.
        let moved_on_demand = self.moved_on_demand;
        self.reclaim(true);
        self.moved_on_demand = moved_on_demand;
        // The kernel does not stop an orphaned group, since nothing would continue it. Then the
        // command continues at once.
        let has_shell = !own_group::is_orphaned();
        if has_shell {
            let left = left.as_secs();
            print_message(&format!(
                "suspended; the lock is not renewed while suspended, and the command is ended when \
                 its lease ends, in {left} s at most"
            ));
            let _ = kill_current_process_group(Signal::TSTP);
        }
        let pause = if has_shell { CHECK_INTERVAL } else { Duration::ZERO };
        self.stopped = Stopped::Suspended { until: SystemClock.now() + pause, modes };
    }

    /// Returns whether the terminal was hung up.
    fn is_hung_up(&self) -> bool {
        // The second error means that the terminal is no longer the controlling one: its session
        // has ended.
        self.terminal.as_ref().is_none_or(|terminal| {
            matches!(tcgetpgrp(&terminal.device), Err(Errno::IO | Errno::NOTTY))
        })
    }
}

impl Drop for JobControl {
    fn drop(&mut self) {
        self.reclaim(true);
    }
}
