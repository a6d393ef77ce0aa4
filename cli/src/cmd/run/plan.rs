//! What is to be run, and how it is to be ended.

use std::time::Duration;

use leasehold::LockName;

use super::command_line::CommandLine;

/// Says which command runs under which lock, and how it is ended.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: LockName,
    pub(super) command: CommandLine,
    /// Environment variables that the command does not inherit.
    pub(super) kept: Vec<String>,
    /// How long the command has from SIGTERM to SIGKILL.
    pub(super) grace: Duration,
    /// After how long the engine aborts the job.
    pub(super) engine_grace: Duration,
}

impl Plan {
    /// How long before the engine would abort the job its command is to be dead.
    pub(super) fn head_start(&self) -> Duration {
        (self.engine_grace / 10).min(HEAD_START)
    }
}

const HEAD_START: Duration = Duration::from_millis(100);

/// Returns the least time that the engine gives a job of that ttl, since killing takes time too.
pub(super) fn least_engine_grace(ttl: Duration) -> Duration {
    (ttl / 10).min(HEAD_START)
}
