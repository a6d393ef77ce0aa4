//! A child is the command's process, as a child of the supervisor.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use leasehold::Leadership;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};

use super::plan::Plan;
use super::process_group::ProcessGroup;
use super::this_program::this_program;
use super::{environment, exec_shim, reaper};
use crate::io::exit::{FAILED, killed_by};

/// A child is the command, or the exec shim that will become it, as the leader of a process group.
///
/// If it is dropped before [`wait`](Self::wait), its whole group is killed.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    group: ProcessGroup,
    waited_for: bool,
}

/// A command that has ended has an exit status, and perhaps a signal that ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// The command has this exit status, as shells report it.
    pub(super) status: u8,
    /// This signal ended the command, if it is set.
    pub(super) signal: Option<Signal>,
}

/// The exec shim waits for a message on this socket. If it is dropped first, the shim exits.
#[derive(Debug)]
pub(super) struct StartSocket(UnixStream);

impl Child {
    /// Starts the exec shim.
    pub(super) fn spawn(
        plan: &Plan,
        leadership: &Leadership,
    ) -> std::io::Result<(Self, StartSocket)> {
        // Both ends are closed on exec: the command inherits neither.
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(this_program()?);
        for name in &plan.removed_variables {
            command.env_remove(name);
        }
        let process = command
            .arg0("leasehold")
            .arg(exec_shim::COMMAND)
            .args(plan.command.words())
            // A run within a run inherits that of another term.
            .env_remove(environment::FLOOR)
            .envs(environment::variables(&plan.name, leadership.token()))
            .envs(environment::floor(leadership.token(), leadership.first_floor()))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .process_group(0)
            .spawn()?;
        reaper::started(process.id());
        let group = i32::try_from(process.id()).ok().and_then(ProcessGroup::new);
        let group = group.ok_or_else(|| std::io::Error::other("no process has that id"))?;
        Ok((Self { process, group, waited_for: false }, StartSocket(ours)))
    }

    pub(super) fn group(&self) -> ProcessGroup {
        self.group
    }

    /// Returns how the command has ended, if it has. The process is not reaped, so its id is not
    /// reused.
    pub(super) fn exited(&self) -> Option<Ended> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.group.pid()), options) {
            Ok(None) => None,
            Ok(Some(status)) => {
                let code = status.exit_status().and_then(|code| u8::try_from(code).ok());
                let signal = status.terminating_signal();
                let status = code.or_else(|| signal.map(killed_by)).unwrap_or(FAILED);
                Some(Ended { status, signal: signal.and_then(Signal::from_named_raw) })
            }
            Err(rustix::io::Errno::INTR) => None,
            // Other code has reaped the process, so its status is lost.
            Err(_) => Some(Ended { status: FAILED, signal: None }),
        }
    }

    /// Returns whether the command was stopped since the last call, and by which signal if that is
    /// known.
    pub(super) fn stopped(&self) -> Option<Option<Signal>> {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::Pid(self.group.pid()), options).ok()??;
        Some(status.stopping_signal().and_then(Signal::from_named_raw))
    }

    /// Reaps a command that has exited, and kills the rest of its group.
    pub(super) fn wait(mut self) {
        self.group.kill();
        let _ = self.process.wait();
        reaper::waited_for(self.process.id());
        self.waited_for = true;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.waited_for {
            // The process is not reaped, because a watchdog that still runs relies on the group's
            // id.
            self.group.kill();
        }
    }
}

impl StartSocket {
    /// Sends the start message, with the command's standard input.
    pub(super) fn send_start(self) -> std::io::Result<()> {
        let stdin = std::io::stdin();
        let input = stdin.as_fd();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        let inputs = [input];
        rights.push(SendAncillaryMessage::ScmRights(&inputs));
        let message = [IoSlice::new(exec_shim::START)];
        sendmsg(&self.0, &message, &mut rights, SendFlags::empty())?;
        Ok(())
    }
}
