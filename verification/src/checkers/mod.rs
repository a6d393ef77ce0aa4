//! The checkers of histories have one invariant per file, each with histories that violate it.

mod cancellation;
mod disable_deadline;
mod expiry;
mod faults;
mod forgotten_waiters;
mod found;
mod granted_before_use;
mod handover;
mod heartbeat_causes;
mod heartbeats;
mod heartbeats_after_release;
mod in_force;
mod job_overlap;
mod leaderless;
mod leaked_leases;
mod leaked_tasks;
mod loss_reports;
mod no_self_blocking;
mod panics;
mod queue_entries;
mod queue_order;
mod released_after_abort;
mod stale_trust;
mod stale_writes;
mod start_stop;
mod stop_reasons;
mod takeover;
mod token_order;
mod trust_overlap;
mod trust_returns;
mod unresolved_attempts;
mod waiters;

use std::fmt;
use std::time::Duration;

use found::Found;

use crate::history::History;

/// This is an invariant that a history violates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// This is the name of the checker.
    pub checker: &'static str,
    /// This is the time of the violation.
    pub at: Duration,
    /// This is a description of the violation.
    pub what: String,
}

type Checker = (&'static str, fn(&History) -> Found);

/// Every checker with its name.
const CHECKERS: [Checker; 27] = [
    ("trust_overlap", trust_overlap::check),
    ("trust_returns", trust_returns::check),
    ("stale_trust", stale_trust::check),
    ("loss_reports", loss_reports::check),
    ("job_overlap", job_overlap::check),
    ("token_order", token_order::check),
    ("stale_writes", stale_writes::check),
    ("start_stop", start_stop::check),
    ("cancellation", cancellation::check),
    ("stop_reasons", stop_reasons::check),
    ("granted_before_use", granted_before_use::check),
    ("disable_deadline", disable_deadline::check),
    ("leaked_leases", leaked_leases::check),
    ("released_after_abort", released_after_abort::check),
    ("no_self_blocking", no_self_blocking::check),
    ("unresolved_attempts", unresolved_attempts::check),
    ("queue_order", queue_order::check),
    ("forgotten_waiters", forgotten_waiters::check),
    ("leaderless", leaderless::check),
    ("takeover", takeover::check),
    ("handover", handover::check),
    ("expiry", expiry::check),
    ("heartbeats", heartbeats::check),
    ("heartbeat_causes", heartbeat_causes::check),
    ("heartbeats_after_release", heartbeats_after_release::check),
    ("leaked_tasks", leaked_tasks::check),
    ("panics", panics::check),
];

/// Runs all checkers on a history.
///
/// # Errors
/// Returns the first violation that each of them finds.
pub fn check(history: &History) -> Result<(), Vec<Violation>> {
    let violations: Vec<_> = CHECKERS
        .iter()
        .filter_map(|(checker, check)| {
            let (at, what) = check(history).err()?;
            Some(Violation { checker, at, what })
        })
        .collect();
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:.6}: {}", self.checker, self.at.as_secs_f64(), self.what)
    }
}
