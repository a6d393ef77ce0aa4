//! All checkers accept thousands of seeded histories of the whole engine, and they notice a broken
//! promise.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;
use std::time::Instant;

use leasehold_verification::export_figure;
use leasehold_verification::simulation::{Defect, SimulationPlan, run, search, shrink};

fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn two_thousand_seeds_hold_all_invariants() {
    let begun = Instant::now();
    let found = search(0..2000, jobs());
    let speed = found.runs as f64 / begun.elapsed().as_secs_f64();
    export_figure(&format!("simulation: {found}, {speed:.0} seeds a second"));
    assert!(found.failure.is_none());
    // The histories prove something only if much happened in them.
    assert!(found.runs == 2000 && found.terms > 10_000, "too little happened: {found}");
    assert!(found.entries > 4_000 && found.waited > 500, "too little happened: {found}");
}

#[test]
fn a_seed_gives_the_same_history_again() {
    for seed in 0..40 {
        let plan = SimulationPlan::generate(seed);
        let [first, second] = [(), ()].map(|()| run(&plan).unwrap().history.to_string());
        let differs = first.lines().zip(second.lines()).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}

/// Returns a digest of the seeds' histories.
fn digest() -> String {
    let mut digest = DefaultHasher::new();
    for seed in 0..40 {
        run(&SimulationPlan::generate(seed)).unwrap().history.to_string().hash(&mut digest);
    }
    format!("digest {:016x}", digest.finish())
}

#[test]
#[ignore = "the next test runs this in a separate process"]
fn digest_of_a_fresh_process() {
    println!("{}", digest());
}

/// Values that differ between processes, such as the order of a hash map's keys, have no effect.
#[test]
fn a_seed_gives_the_same_history_in_another_process() {
    let here = digest();
    let ones = ["--exact", "digest_of_a_fresh_process", "--ignored", "--nocapture"];
    let output = Command::new(std::env::current_exe().unwrap()).args(ones).output().unwrap();
    let there = String::from_utf8(output.stdout).unwrap();
    assert!(there.contains(&here), "{here} in this process; in the other:\n{there}");
}

/// Asserts that a history of one of the first hundred seeds violates the checker with that defect,
/// and that a smaller plan does too.
fn notices(defect: Defect, checker: &str) {
    let is_noticed = |plan: &SimulationPlan| {
        let outcome = run(plan).unwrap();
        outcome.violations.iter().any(|violation| violation.checker == checker)
    };
    let plans = (0..100).map(|seed| SimulationPlan::generate(seed).with(defect));
    // A plan may need all of its operations.
    let is_smaller = plans.filter(is_noticed).any(|plan| {
        let smaller = shrink(&plan, checker, 100);
        let [before, after] = [&plan, &smaller].map(|plan| plan.operations.len());
        println!("{defect:?}: seed {}, shrunk from {before} operations to {after}", plan.seed);
        after < before || before <= 1
    });
    assert!(is_smaller, "{defect:?} is not noticed, or no plan was shrunk");
}

#[test]
fn a_double_granting_store_is_caught() {
    notices(Defect::GrantsTwice, "trust_overlap");
}

#[test]
fn a_store_that_skips_the_queue_is_caught() {
    notices(Defect::SkipsQueue, "queue_order");
    notices(Defect::SkipsQueue, "trust_overlap");
}

#[test]
fn a_store_that_forgets_waiters_is_caught() {
    notices(Defect::ForgetsWaiters, "forgotten_waiters");
}

#[test]
fn a_store_that_raises_floors_too_early_is_caught() {
    notices(Defect::RaisesFloors, "stale_writes");
}

#[test]
fn a_store_forgetting_tokens_is_caught() {
    notices(Defect::ForgetsTokens, "token_order");
}

#[test]
fn a_store_renewing_disabled_names_is_caught() {
    notices(Defect::RenewsDisabled, "disable_deadline");
}

#[test]
fn a_store_without_hints_is_caught() {
    notices(Defect::NeverHints, "takeover");
}

#[test]
fn a_store_overstating_time_left_is_caught() {
    notices(Defect::OverstatesLeases, "expiry");
}

#[test]
fn a_store_ignoring_releases_is_caught() {
    notices(Defect::IgnoresReleases, "leaked_leases");
}

#[test]
fn a_store_that_stops_granting_is_caught() {
    notices(Defect::StopsGranting, "leaderless");
}

#[test]
fn a_store_that_stops_renewing_is_caught() {
    notices(Defect::StopsRenewing, "stop_reasons");
}

#[test]
fn a_missing_retry_is_caught() {
    notices(Defect::ForgetsAttempts, "no_self_blocking");
}

#[test]
fn a_forgotten_attempt_is_caught() {
    notices(Defect::ForgetsAttempts, "unresolved_attempts");
}

#[test]
fn a_missing_stop_is_caught() {
    notices(Defect::ForgetsStops, "start_stop");
}

#[test]
fn excessive_clock_drift_is_caught() {
    notices(Defect::SlowClocks, "trust_overlap");
}
