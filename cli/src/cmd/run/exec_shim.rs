//! The exec shim is the process that becomes the command when the supervisor says so.
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
pub(super) const GO: &[u8] = b"go";

pub(super) fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(program) = args.next() else { return ExitCode::from(USAGE) };
    let bond = Bond::new();
    let input = match wait_for_go() {
        Ok(Some(input)) if bond.holds() => input,
        // The supervisor has ended, so there is nobody to report to.
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

/// This protects against the watchdog being killed together with the supervisor: the kernel kills
/// this process, and the command that it becomes, when the supervisor's main thread ends. This
/// process must be started from that thread.
///
/// A program with its own privileges (setuid, file capabilities) loses the setting.
#[cfg(target_os = "linux")]
struct Bond(Option<rustix::process::Pid>);

#[cfg(target_os = "linux")]
impl Bond {
    fn new() -> Self {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // If the kernel refuses this, the watchdog still protects.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        let supervisor = rustix::net::sockopt::socket_peercred(std::io::stdin());
        Self(supervisor.ok().map(|credentials| credentials.pid))
    }

    /// Returns whether the supervisor was still running when the setting was made. A supervisor
    /// that ended earlier may already have sent the signal to start.
    fn holds(&self) -> bool {
        self.0.is_none_or(|supervisor| rustix::process::getppid() == Some(supervisor))
    }
}

#[cfg(not(target_os = "linux"))]
struct Bond;

#[cfg(not(target_os = "linux"))]
impl Bond {
    fn new() -> Self {
        Self
    }

    fn holds(&self) -> bool {
        true
    }
}

fn wait_for_go() -> rustix::io::Result<Option<OwnedFd>> {
    let mut word = [0; GO.len()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let mut words = [IoSliceMut::new(&mut word)];
        recvmsg(std::io::stdin(), &mut words, &mut rights, RecvFlags::CMSG_CLOEXEC)
    })?;
    let input = rights.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(input.filter(|_| word[..received.bytes] == *GO))
}
