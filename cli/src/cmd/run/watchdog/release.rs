//! Once the command of a supervisor that was killed has certainly ended, the watchdog releases the
//! lease, so that another instance need not wait until it expires.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use leasehold::{Clock, Error, ErrorKind, Moment, ReleaseOutcome, Result, SystemClock};

use super::held_lease::HeldLease;
use super::stderr::DetachedStderr;
use crate::cmd::run::process_group::ProcessGroup;
use crate::io::exit::{chain, is_permanent};
use crate::io::stderr::print_message;

/// The wait for the command's end and the release may together take this long, if the lease lasts
/// that long.
const LIMIT: Duration = Duration::from_secs(10);

/// This process then exits, even if a file system or a terminal does not respond.
const EXIT_AFTER: Duration = Duration::from_secs(15);

/// The command's processes are looked for at this interval.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// A call to the store that failed is tried again after this pause.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// The surroundings are what the watchdog detached from when it started.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// Relative paths in the store's URL count from this folder.
    pub(super) folder: Option<PathBuf>,
    pub(super) stderr: DetachedStderr,
}

/// Releases the lease, which the supervisor trusted until that deadline, once the command's group has
/// certainly ended. If that stays uncertain, the lease is left to expire.
pub(super) fn release(
    lease: &HeldLease,
    group: ProcessGroup,
    deadline: Moment,
    from: &Surroundings,
) {
    let now = SystemClock.now();
    if deadline <= now {
        // The lease ends by itself now.
        return;
    }
    let _ = thread::Builder::new().spawn(exit_late);
    let limit = deadline.min(now + LIMIT);
    // This also ends members that this process cannot see. It is not repeated: once the group has
    // ended, its id may be reused.
    group.kill();
    let outcome = run(lease, group, limit, from);
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

fn exit_late() {
    thread::sleep(EXIT_AFTER);
    std::process::exit(0)
}

/// Waits until no process of the command runs, in its group or outside of it, and returns whether
/// that is certain.
fn wait_for_end(lease: &HeldLease, group: ProcessGroup, limit: Moment) -> bool {
    let mut unused = 0;
    wait_until(limit, || group.has_certainly_ended())
        && wait_until(limit, || {
            // One check can miss a process outside of the group that another program just replaces.
            unused = if lease.may_be_in_use() { 0 } else { unused + 1 };
            unused == 2
        })
}

/// Waits until the condition is met, and returns whether it was met by that moment.
fn wait_until(limit: Moment, mut condition: impl FnMut() -> bool) -> bool {
    while !condition() {
        if SystemClock.now() >= limit {
            return false;
        }
        thread::sleep(CHECK_INTERVAL);
    }
    true
}

/// Waits and releases in a runtime of its own.
fn run(
    lease: &HeldLease,
    group: ProcessGroup,
    limit: Moment,
    from: &Surroundings,
) -> Result<ReleaseOutcome> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Unavailable, "cannot prepare the release").with_source(error)
    };
    if let Some(folder) = &from.folder {
        std::env::set_current_dir(folder).map_err(failed)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let outcome = runtime.block_on(release_after_end(lease, group, limit));
    // A call to a store that hangs must not keep the process running.
    runtime.shutdown_background();
    outcome
}

/// Releases the lease once the command has certainly ended. The store is opened before that, because
/// it can take longer.
async fn release_after_end(
    lease: &HeldLease,
    group: ProcessGroup,
    limit: Moment,
) -> Result<ReleaseOutcome> {
    let waited_for = lease.clone();
    let end = tokio::task::spawn_blocking(move || wait_for_end(&waited_for, group, limit));
    let (has_ended, store) = tokio::join!(end, retry(limit, || lease.open_store()));
    if !has_ended.unwrap_or(false) {
        let message = "a process that the command started may still run";
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    let store = store?;
    retry(limit, || lease.release(&store)).await
}

/// Calls the store, and tries again until that moment while it is unavailable.
async fn retry<T, F>(limit: Moment, call: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut error = Error::new(ErrorKind::Unavailable, "the store did not respond in time");
    loop {
        tokio::select! {
            biased;
            outcome = call() => match outcome {
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
