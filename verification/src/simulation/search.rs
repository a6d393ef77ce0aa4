//! Runs many seeds, and makes the first failure small.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Outcome, Plan, run, shrink};

/// What came of many seeds.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Histories that were run.
    pub runs: u64,
    /// Facts in them.
    pub facts: u64,
    /// Terms that began in them.
    pub terms: u64,
    /// The failure of the smallest seed that failed, made small.
    pub failure: Option<(Plan, Outcome)>,
}

/// How many facts of a failure to show.
const FACTS_SHOWN: usize = 40;

/// How many runs to spend on making a failure small.
const SHRINKING: usize = 200;

/// Runs the seeds in that many threads, until one fails.
#[must_use]
pub fn search(seeds: Range<u64>, jobs: usize) -> Found {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new(Found::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= seeds.end {
                return;
            }
            let plan = Plan::draw(seed);
            let outcome = run(&plan);
            let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // One that could not be run is none of those that were.
            let Ok(outcome) = outcome else { continue };
            found.runs += 1;
            found.facts += outcome.history.events.len() as u64;
            found.terms += outcome.history.terms() as u64;
            if !outcome.violations.is_empty() {
                // Nothing later is begun; what is under way may have a smaller seed.
                next.store(seeds.end, Ordering::SeqCst);
                let first = found.failure.as_ref().is_none_or(|(plan, _)| seed < plan.seed);
                if first {
                    found.failure = Some((plan, outcome));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        (0..jobs.max(1)).for_each(|_| drop(scope.spawn(work)));
    });
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((plan, outcome)) = &mut found.failure {
        let checker = outcome.violations[0].checker;
        let smaller = shrink(plan, checker, SHRINKING);
        if let Ok(again) = run(&smaller) {
            (*plan, *outcome) = (smaller, again);
        }
    }
    found
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((plan, outcome)) = &self.failure {
            let at = outcome.violations.first().map_or(Duration::MAX, |violation| violation.at);
            writeln!(f, "{plan}\n{}", outcome.history.up_to(at, FACTS_SHOWN))?;
            outcome.violations.iter().try_for_each(|violation| writeln!(f, "{violation}"))?;
            writeln!(f, "again, the whole plan: cargo xtask sim --seed {} --trace", plan.seed)?;
        }
        let Self { runs, facts, terms, .. } = self;
        write!(f, "{runs} histories, {facts} facts, {terms} terms")
    }
}
