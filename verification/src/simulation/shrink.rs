//! Takes away from a plan what its failure does not need.

use super::{Plan, run};

/// The smallest plan found that fails by the same checker, in at most so many runs.
#[must_use]
pub fn shrink(plan: &Plan, checker: &str, runs: usize) -> Plan {
    let fails = |plan: &Plan| {
        run(plan).is_ok_and(|outcome| outcome.violations.iter().any(|v| v.checker == checker))
    };
    let (mut best, mut left) = (plan.clone(), runs);
    let mut chunk = best.deeds.len().div_ceil(2);
    while chunk > 0 && left > 0 {
        let mut at = 0;
        while at < best.deeds.len() && left > 0 {
            let mut smaller = best.clone();
            smaller.deeds.drain(at..(at + chunk).min(smaller.deeds.len()));
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
