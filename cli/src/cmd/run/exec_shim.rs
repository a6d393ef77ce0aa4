//! The exec shim is the process that becomes the command when it gets the supervisor's message.
//!
//! Its standard input is a socket. The start message comes with the command's own standard input;
//! the end of the socket means that the supervisor has ended, and the command must not run.

use std::ffi::OsString;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::command_line::not_executed;
use super::signal_mask;
use crate::io::exit::{FAILED, Failure, USAGE};

/// This hidden command starts the exec shim.
pub(super) const COMMAND: &str = "__exec";

/// This is the start message.
pub(super) const START: &[u8] = b"go";

pub(super) fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(program) = args.next() else { return ExitCode::from(USAGE) };
    let parent = ParentDeathSignal::new();
    let input = match wait_for_start() {
        Ok(Some(input)) if parent.is_alive() => input,
        // The supervisor has ended, so nobody would read a report.
        Ok(_) => return ExitCode::from(FAILED),
        Err(error) => {
            let message = format!("{COMMAND} is internal to `leasehold run`: {error}");
            return ExitCode::from(Failure::usage(message).report());
        }
    };
    signal_mask::accept_terminal_stops();
    let error = Command::new(&program).args(args).stdin(Stdio::from(input)).exec();
    let error = Errno::from_io_error(&error).unwrap_or(Errno::NOENT);
    ExitCode::from(not_executed(&program, error).report())
}

/// This signal protects if the watchdog is killed together with the supervisor: the kernel kills
/// this process, and the command that it becomes, when the supervisor's main thread ends. This
/// process must be started from that thread.
///
/// A program with its own privileges (setuid, file capabilities) loses the setting.
#[cfg(target_os = "linux")]
struct ParentDeathSignal(Option<rustix::process::Pid>);

#[cfg(target_os = "linux")]
impl ParentDeathSignal {
    fn new() -> Self {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // If the kernel refuses the setting, the watchdog still ends the command.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        let supervisor = rustix::net::sockopt::socket_peercred(std::io::stdin());
        Self(supervisor.ok().map(|credentials| credentials.pid))
    }

    /// Returns whether the supervisor was still running when the setting was made. A supervisor
    /// that ended earlier may already have sent the signal to start.
    fn is_alive(&self) -> bool {
        self.0.is_none_or(|supervisor| rustix::process::getppid() == Some(supervisor))
    }
}

#[cfg(not(target_os = "linux"))]
struct ParentDeathSignal;

#[cfg(not(target_os = "linux"))]
impl ParentDeathSignal {
    fn new() -> Self {
        Self
    }

    fn is_alive(&self) -> bool {
        true
    }
}

fn wait_for_start() -> rustix::io::Result<Option<OwnedFd>> {
    let mut message = [0; START.len()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let mut buffers = [IoSliceMut::new(&mut message)];
        recvmsg(std::io::stdin(), &mut buffers, &mut rights, RecvFlags::CMSG_CLOEXEC)
    })?;
    let input = rights.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(input.filter(|_| message[..received.bytes] == *START))
}
