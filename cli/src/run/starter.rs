//! The process that becomes the command once it is told to go.
//!
//! Its standard input is a socket. The word to go comes with the command's own standard input; the
//! socket's end means that the supervisor is gone, and nothing is to be run.

use std::ffi::OsString;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::command::cannot_run;
use crate::exit::{FAILED, Failure, USAGE};

/// The hidden command that this is.
pub(super) const COMMAND: &str = "__exec";

/// The word to go.
pub(super) const GO: &[u8] = b"go";

pub(super) fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(program) = args.next() else { return ExitCode::from(USAGE) };
    let input = match wait_for_go() {
        Ok(Some(input)) => input,
        // The supervisor is gone; there is nobody to tell.
        Ok(None) => return ExitCode::from(FAILED),
        Err(error) => {
            let message = format!("{COMMAND} is for `leasehold run` alone: {error}");
            return ExitCode::from(Failure::usage(message).report());
        }
    };
    let error = Command::new(&program).args(args).stdin(Stdio::from(input)).exec();
    let error = Errno::from_io_error(&error).unwrap_or(Errno::NOENT);
    ExitCode::from(cannot_run(&program, error).report())
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
