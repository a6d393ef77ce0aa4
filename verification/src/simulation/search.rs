//! Runs many seeds, and shrinks the first failure.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasehold_core::Result;
use parking_lot::Mutex;

use super::{RunResult, SimulationPlan, run, shrink};

/// This is the result of many seeds.
#[derive(Clone, Debug, Default)]
pub struct SearchResult {
    /// This is the number of histories that were run.
    pub runs: u64,
    /// This is the number of events in them.
    pub events: u64,
    /// This is the number of terms that began in them.
    pub terms: u64,
    /// This is the number of entries that were made in queues.
    pub entries: u64,
    /// This is the number of those that held the lock only after they had waited.
    pub waited: u64,
    /// This is the failure of the smallest seed that failed, after shrinking.
    pub failure: Option<FailingRun>,
}

/// This is a plan that failed.
#[derive(Clone, Debug)]
pub struct FailingRun {
    /// This is the plan of the failing run.
    pub plan: SimulationPlan,
    /// This is the result of the run, or an error if it cannot be run, which says nothing about the
    /// engine.
    pub outcome: Result<RunResult>,
}

/// This many events of a failure are shown.
const EVENTS_SHOWN: usize = 40;

/// This many runs are spent on shrinking a failure.
const SHRINKING: usize = 200;

/// Runs the seeds in that many threads until one fails.
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
                found.events += outcome.history.events.len() as u64;
                found.terms += outcome.history.terms() as u64;
                let (entries, waited) = outcome.history.entries();
                found.entries += entries as u64;
                found.waited += waited as u64;
                if outcome.violations.is_empty() {
                    continue;
                }
            }
            // No later seed is begun. A seed that runs now may be smaller.
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
            writeln!(f, "{plan}\n{}", outcome.history.up_to(at, EVENTS_SHOWN))?;
            outcome.violations.iter().try_for_each(|violation| writeln!(f, "{violation}"))?;
            writeln!(f, "again, the whole plan: cargo xtask sim --seed {} --trace", plan.seed)?;
        }
        let Self { runs, events, terms, entries, waited, .. } = self;
        write!(
            f,
            "{runs} histories, {events} events, {terms} terms, {entries} entries of queues, \
             {waited} of them granted after a wait"
        )
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
