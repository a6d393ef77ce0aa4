//! A plan says which command to run, and how long it may take to end.

use std::time::Duration;

use leasehold::LockName;
use leasehold::url::StoreAddress;

use super::command_line::CommandLine;

/// A plan says which command runs under which lock, and how it is ended.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: LockName,
    pub(super) command: CommandLine,
    /// The lock has a queue, in which the run has an entry.
    pub(super) in_queue: bool,
    /// The watchdog releases the lock here if the supervisor is killed.
    pub(super) store: Option<StoreAddress>,
    /// The command does not inherit these environment variables.
    pub(super) removed_variables: Vec<String>,
    /// The command has this time from SIGTERM to SIGKILL.
    pub(super) grace: Duration,
    /// The engine aborts the job after this time.
    pub(super) engine_grace: Duration,
}

impl Plan {
    /// Returns how long before the engine's abort the command is killed.
    pub(super) fn kill_margin(&self) -> Duration {
        (self.engine_grace / 10).min(MAX_KILL_MARGIN)
    }
}

const MAX_KILL_MARGIN: Duration = Duration::from_millis(100);

/// Returns the minimum time that the engine gives a job with that ttl, because killing takes time
/// too.
pub(super) fn min_engine_grace(ttl: Duration) -> Duration {
    (ttl / 10).min(MAX_KILL_MARGIN)
}
