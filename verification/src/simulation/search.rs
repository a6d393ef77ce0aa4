//! Runs many seeds, and makes the first failure small.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasehold_core::Result;
use parking_lot::Mutex;

use super::{RunResult, SimulationPlan, run, shrink};

/// What came of many seeds.
#[derive(Clone, Debug, Default)]
pub struct SearchResult {
    /// Histories that were run.
    pub runs: u64,
    /// Facts in them.
    pub facts: u64,
    /// Terms that began in them.
    pub terms: u64,
    /// The failure of the smallest seed that failed, made small.
    pub failure: Option<FailingRun>,
}

/// A plan that failed.
#[derive(Clone, Debug)]
pub struct FailingRun {
    /// The plan.
    pub plan: SimulationPlan,
    /// What came of it; an error when it cannot even be run, which says nothing for the engine.
    pub outcome: Result<RunResult>,
}

/// How many facts of a failure to show.
const FACTS_SHOWN: usize = 40;

/// How many runs to spend on making a failure small.
const SHRINKING: usize = 200;

/// Runs the seeds in that many threads, until one fails.
#[must_use]
pub fn search(seeds: Range<u64>, jobs: usize) -> SearchResult {
    search_in(seeds, jobs, SimulationPlan::generate)
}

fn search_in(
    seeds: Range<u64>,
    jobs: usize,
    draw: impl Fn(u64) -> SimulationPlan + Sync,
) -> SearchResult {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new(SearchResult::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= seeds.end {
                return;
            }
            let plan = draw(seed);
            let outcome = run(&plan);
            let mut found = found.lock();
            if let Ok(outcome) = &outcome {
                found.runs += 1;
                found.facts += outcome.history.events.len() as u64;
                found.terms += outcome.history.terms() as u64;
                if outcome.violations.is_empty() {
                    continue;
                }
            }
            // Nothing later is begun; what is under way may have a smaller seed.
            next.store(seeds.end, Ordering::SeqCst);
            if found.failure.as_ref().is_none_or(|failure| seed < failure.plan.seed) {
                found.failure = Some(FailingRun { plan, outcome });
            }
        }
    };
    std::thread::scope(|scope| {
        (0..jobs.max(1)).for_each(|_| drop(scope.spawn(work)));
    });
    let mut found = found.into_inner();
    if let Some(FailingRun { plan, outcome: Ok(outcome) }) = &mut found.failure {
        let checker = outcome.violations[0].checker;
        let smaller = shrink(plan, checker, SHRINKING);
        if let Ok(again) = run(&smaller) {
            (*plan, *outcome) = (smaller, again);
        }
    }
    found
}

impl fmt::Display for SearchResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(FailingRun { plan, outcome: Err(error) }) = &self.failure {
            writeln!(f, "{plan}\nit cannot be run: {error}")?;
        }
        if let Some(FailingRun { plan, outcome: Ok(outcome) }) = &self.failure {
            let at = outcome.violations.first().map_or(Duration::MAX, |violation| violation.at);
            writeln!(f, "{plan}\n{}", outcome.history.up_to(at, FACTS_SHOWN))?;
            outcome.violations.iter().try_for_each(|violation| writeln!(f, "{violation}"))?;
            writeln!(f, "again, the whole plan: cargo xtask sim --seed {} --trace", plan.seed)?;
        }
        let Self { runs, facts, terms, .. } = self;
        write!(f, "{runs} histories, {facts} facts, {terms} terms")
    }
}

#[cfg(test)]
mod tests {
    use leasehold_core::Settings;

    use super::*;

    #[test]
    fn an_unrunnable_plan_is_a_failure() {
        let none = Settings::new().ttl(Duration::ZERO);
        let draw = |seed| match seed {
            1 => SimulationPlan { settings: none.clone(), ..SimulationPlan::generate(seed) },
            _ => SimulationPlan::generate(seed),
        };
        let found = search_in(0..3, 1, draw);
        assert_eq!(found.runs, 1);
        assert!(found.failure.as_ref().is_some_and(|failure| failure.outcome.is_err()), "{found}");
    }
}
