//! This module sets the signals that this thread blocks, and returns the group and session of this
//! process. It is the only module with `unsafe` code: neither the standard library nor rustix has
//! safe functions for these.
#![allow(unsafe_code, reason = "the C library's signal sets, and ids that may be zero")]

use std::mem::MaybeUninit;
use std::ptr;

use libc::c_int;
use rustix::process::Pid;

/// Keeps this process from being stopped while another group has the terminal. It blocks SIGTTOU,
/// so that this process can write to the terminal and return it, and SIGTTIN, which another process
/// of the group causes for the whole group when it reads. Call this before any thread is started,
/// because threads inherit the mask.
///
/// Child processes inherit it too, and keep it on exec: see [`accept_terminal_stops`].
pub(super) fn block_terminal_stops() {
    mask(libc::SIG_BLOCK);
}

/// Undoes [`block_terminal_stops`] in the process that becomes the command.
pub(super) fn accept_terminal_stops() {
    mask(libc::SIG_UNBLOCK);
}

/// Returns this process's group; `None` if it is outside this process's id namespace.
pub(super) fn own_group() -> Option<Pid> {
    // SAFETY: `getpgrp` has no preconditions.
    Pid::from_raw(unsafe { libc::getpgrp() })
}

/// Returns this process's session; `None` if it is outside this process's id namespace.
#[cfg(not(target_os = "linux"))]
pub(super) fn own_session() -> Option<Pid> {
    // SAFETY: `getsid` has no preconditions; 0 means this process.
    Pid::from_raw(unsafe { libc::getsid(0) }).filter(|session| session.as_raw_pid() > 0)
}

fn mask(how: c_int) {
    let mut signals = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initializes the set that the other calls read; all pointers are to
    // it, or null where that is allowed.
    unsafe {
        libc::sigemptyset(signals.as_mut_ptr());
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGTTOU);
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGTTIN);
        libc::pthread_sigmask(how, signals.as_ptr(), ptr::null_mut());
    }
}
