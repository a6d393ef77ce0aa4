//! Sets which signals this thread blocks. This is the one module with `unsafe` code: neither the
//! standard library nor rustix has a safe call for it.
#![allow(unsafe_code, reason = "the C library's signal sets")]

use std::mem::MaybeUninit;
use std::ptr;

use libc::c_int;

/// Lets this process write to a terminal, and hand it back, while another group is in the
/// foreground: it blocks SIGTTOU, which would stop the process. Call it before any thread is
/// started, since threads inherit the mask.
///
/// Child processes inherit it too, and keep it on exec: see [`accept_background_output`].
pub(super) fn ignore_background_output() {
    mask(libc::SIG_BLOCK);
}

/// Undoes [`ignore_background_output`] in the process that becomes the command.
pub(super) fn accept_background_output() {
    mask(libc::SIG_UNBLOCK);
}

fn mask(how: c_int) {
    let mut signals = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initializes the set that the other two calls read; all pointers are to
    // it, or null where that is allowed.
    unsafe {
        libc::sigemptyset(signals.as_mut_ptr());
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGTTOU);
        libc::pthread_sigmask(how, signals.as_ptr(), ptr::null_mut());
    }
}
