//! Once the command of a supervisor that was killed has certainly ended, the watchdog releases the
//! lease, so that another instance need not wait until it expires.

use std::path::PathBuf;
use std::time::Duration;

use leasehold::{Clock, Error, ErrorKind, Moment, ReleaseOutcome, Result, SystemClock};

use super::held_lease::HeldLease;
use super::stderr::DetachedStderr;
use crate::io::exit::{chain, is_permanent};
use crate::io::stderr::print_message;

/// The release may take this long, if the lease lasts that long.
const LIMIT: Duration = Duration::from_secs(10);

/// Processes that have left the group are looked for at this interval.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// A release that failed is tried again after this pause.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// The surroundings are what the watchdog detached from when it started.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// Relative paths in the store's URL count from this folder.
    pub(super) folder: Option<PathBuf>,
    pub(super) stderr: DetachedStderr,
}

/// Releases the lease, which the supervisor trusted until that deadline. `ended` says whether the
/// command's group has certainly ended; if not, the lease is left to expire.
pub(super) fn release(lease: &HeldLease, ended: bool, deadline: Moment, from: &Surroundings) {
    let now = SystemClock.now();
    if deadline <= now {
        // The lease ends by itself now.
        return;
    }
    let limit = deadline.min(now + LIMIT);
    let outcome = match ended && wait_for_processes(lease, limit) {
        true => run(lease, limit, from),
        false => Err(Error::new(
            ErrorKind::Unavailable,
            "a process that the command started may still run",
        )),
    };
    from.stderr.attach();
    lease.use_message_format();
    let name = &lease.name;
    match outcome {
        Ok(ReleaseOutcome::Released) => print_message(&format!(
            "released lock {name:?} after its command had ended, in place of the process that held it"
        )),
        // The lease had ended, or another process has released it.
        Ok(_) => {}
        Err(error) => print_message(&format!(
            "lock {name:?} is not released and becomes free when its lease expires: {}",
            chain(&error)
        )),
    }
}

/// Waits until the processes that have left the command's group have ended, and returns whether
/// they have.
fn wait_for_processes(lease: &HeldLease, limit: Moment) -> bool {
    while lease.may_be_in_use() {
        if SystemClock.now() >= limit {
            return false;
        }
        std::thread::sleep(CHECK_INTERVAL);
    }
    true
}

/// Releases the lease in a runtime of its own. This process has no other thread, and was not forked
/// from one that has.
fn run(lease: &HeldLease, limit: Moment, from: &Surroundings) -> Result<ReleaseOutcome> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Unavailable, "cannot prepare the release").with_source(error)
    };
    if let Some(folder) = &from.folder {
        std::env::set_current_dir(folder).map_err(failed)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let outcome = runtime.block_on(release_by(lease, limit));
    // A call to a store that hangs must not keep the process running.
    runtime.shutdown_background();
    outcome
}

/// Releases the lease, and tries again until that moment while the store is unavailable.
async fn release_by(lease: &HeldLease, limit: Moment) -> Result<ReleaseOutcome> {
    let mut error = Error::new(ErrorKind::Unavailable, "the store did not respond in time");
    loop {
        tokio::select! {
            biased;
            outcome = lease.release() => match outcome {
                Err(failed) if !is_permanent(&failed) => error = failed,
                outcome => return outcome,
            },
            () = SystemClock.sleep_until(limit) => return Err(error),
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(RETRY_PAUSE) => {}
            () = SystemClock.sleep_until(limit) => return Err(error),
        }
    }
}
