//! Checkers of histories: one invariant a file, each with histories that violate it.

mod cancelled;
mod due_beats;
mod elected;
mod expiry;
mod forgotten;
mod handover;
mod heartbeats;
mod job_overlap;
mod leaderless;
mod leftovers;
mod lost;
mod notice;
mod orphans;
mod own_way;
mod panics;
mod reasons;
mod released_after_abort;
mod relied;
mod stale_writes;
mod start_stop;
mod stray_beats;
mod takeover;
mod token_order;
mod trouble;
mod trust_overlap;
mod trust_returns;
mod waiting;

use std::fmt;
use std::time::Duration;

use crate::history::History;

/// An invariant that a history does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the checker.
    pub checker: &'static str,
    /// When.
    pub at: Duration,
    /// What is wrong.
    pub what: String,
}

type Found = Result<(), (Duration, String)>;

type Checker = (&'static str, fn(&History) -> Found);

/// Every checker, by its name.
const CHECKERS: [Checker; 25] = [
    ("trust_overlap", trust_overlap::check),
    ("trust_returns", trust_returns::check),
    ("relied", relied::check),
    ("lost", lost::check),
    ("job_overlap", job_overlap::check),
    ("token_order", token_order::check),
    ("stale_writes", stale_writes::check),
    ("start_stop", start_stop::check),
    ("cancelled", cancelled::check),
    ("reasons", reasons::check),
    ("elected", elected::check),
    ("notice", notice::check),
    ("orphans", orphans::check),
    ("released_after_abort", released_after_abort::check),
    ("own_way", own_way::check),
    ("forgotten", forgotten::check),
    ("leaderless", leaderless::check),
    ("takeover", takeover::check),
    ("handover", handover::check),
    ("expiry", expiry::check),
    ("heartbeats", heartbeats::check),
    ("due_beats", due_beats::check),
    ("stray_beats", stray_beats::check),
    ("leftovers", leftovers::check),
    ("panics", panics::check),
];

/// Judges a history by all checkers.
///
/// # Errors
/// The first violation that each of them finds.
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
