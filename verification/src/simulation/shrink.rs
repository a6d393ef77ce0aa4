//! Removes from a plan the operations that its failure does not need.

use super::{SimulationPlan, run};

/// Returns the smallest plan found that fails by the same checker, in at most that many runs.
#[must_use]
pub fn shrink(plan: &SimulationPlan, checker: &str, runs: usize) -> SimulationPlan {
    let fails = |plan: &SimulationPlan| {
        run(plan).is_ok_and(|outcome| outcome.violations.iter().any(|v| v.checker == checker))
    };
    let (mut best, mut left) = (plan.clone(), runs);
    let mut chunk = best.operations.len().div_ceil(2);
    while chunk > 0 && left > 0 {
        let mut at = 0;
        while at < best.operations.len() && left > 0 {
            let mut smaller = best.clone();
            smaller.operations.drain(at..(at + chunk).min(smaller.operations.len()));
            left -= 1;
            if fails(&smaller) {
                best = smaller;
            } else {
                at += chunk;
            }
        }
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
    }
    best
}
