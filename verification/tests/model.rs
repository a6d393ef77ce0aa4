//! The election's state machine, in every order of events that a few faults and commands allow;
//! and that the search finds what is wrong when a rule is missing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;

use leasehold_verification::model::{Election, Explored, Flaw, Limits};
use leasehold_verification::tell;

fn explore(instances: usize, faults: u8, commands: u8, steps: Option<usize>) -> Explored {
    let election = Election::new(instances, Limits { faults, commands }).unwrap();
    let explored = election.explore(steps.and_then(NonZeroUsize::new));
    tell(&format!(
        "model: {instances} instances, {faults} faults, {commands} commands: {explored}"
    ));
    assert!(explored.counterexamples.is_empty(), "{explored}");
    explored
}

#[test]
fn two_instances_and_two_faults() {
    assert!(explore(2, 2, 0, None).whole);
}

#[test]
fn two_instances_a_fault_and_a_command() {
    assert!(explore(2, 1, 1, None).whole);
}

#[test]
fn two_instances_and_two_commands() {
    assert!(explore(2, 0, 2, None).whole);
}

#[test]
fn three_instances_and_a_fault() {
    assert!(explore(3, 1, 0, None).whole);
}

#[test]
fn three_instances_and_a_command() {
    assert!(explore(3, 0, 1, None).whole);
}

#[test]
fn three_instances_to_a_depth() {
    assert!(!explore(3, 2, 1, Some(12)).whole);
}

/// Without what the flaw takes away, the search comes upon a way to break that rule.
fn breaks(flaw: Flaw, faults: u8, commands: u8, rule: &'static str) {
    let election = Election::new(2, Limits { faults, commands }).unwrap().without(flaw);
    let explored = election.seek(rule);
    println!("{flaw:?}: {explored}");
    let broken = explored.counterexamples.iter().any(|(broken, _)| *broken == rule);
    assert!(broken, "{flaw:?} does not break: {rule}");
}

const EXCLUSION: &str = "at most one instance trusts its lease";

#[test]
fn no_margin() {
    breaks(Flaw::NoMargin, 2, 0, "whoever trusts its lease has it");
}

#[test]
fn revived_lease() {
    breaks(Flaw::RevivedLease, 2, 0, "a lease that is over stays over");
}

#[test]
fn renewal_that_inserts() {
    breaks(Flaw::UpsertedRenewal, 2, 0, "whoever trusts its lease has it");
}

#[test]
fn renewal_of_a_disabled_name() {
    breaks(Flaw::RenewedThoughDisabled, 0, 1, "nobody leads a disabled name past its lease");
}

#[test]
fn release_before_stop() {
    breaks(Flaw::ReleaseBeforeStop, 0, 1, EXCLUSION);
}

#[test]
fn new_id_for_a_retry() {
    breaks(Flaw::NewIdForRetry, 1, 0, "nobody stands in its own way");
}

#[test]
fn new_id_after_a_refusal() {
    breaks(Flaw::NewIdAfterRefusal, 2, 0, "nobody stands in its own way");
}

#[test]
fn trust_counted_from_the_reply() {
    breaks(Flaw::TrustFromReply, 2, 0, EXCLUSION);
}

#[test]
fn release_after_an_abort() {
    breaks(Flaw::ReleaseAfterAbort, 0, 1, "no lease of an aborted job is released");
}
