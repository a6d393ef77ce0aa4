//! The state machines of locks and elections keep all rules in every order of events that a few
//! faults and commands allow, and the search notices when a rule is removed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;

use leasehold_verification::explored::Explored;
use leasehold_verification::export_figure;
use leasehold_verification::model::{Budget, LeaseModel, ModelStep, Mutation};

/// The numbers of candidates of an election and of callers of a lock.
#[derive(Clone, Copy)]
struct Participants {
    candidates: usize,
    lock_callers: usize,
}

const fn candidates(candidates: usize) -> Participants {
    Participants { candidates, lock_callers: 0 }
}

const fn lock_callers(lock_callers: usize) -> Participants {
    Participants { candidates: 0, lock_callers }
}

const ONE_OF_EACH: Participants = Participants { candidates: 1, lock_callers: 1 };

fn explore(
    who: Participants,
    faults: u8,
    commands: u8,
    steps: Option<usize>,
) -> Explored<ModelStep> {
    let Participants { candidates, lock_callers } = who;
    let model = LeaseModel::new(candidates, lock_callers, Budget { faults, commands }).unwrap();
    let explored = model.explore(steps.and_then(NonZeroUsize::new));
    export_figure(&format!(
        "model: {candidates} candidates, {lock_callers} lock callers, {faults} faults, \
         {commands} commands: {explored}"
    ));
    assert!(explored.counterexamples.is_empty(), "{explored}");
    explored
}

#[test]
fn rules_hold_with_two_candidates_and_two_faults() {
    assert!(explore(candidates(2), 2, 0, None).is_complete);
}

#[test]
fn rules_hold_with_two_candidates_a_fault_and_a_command() {
    assert!(explore(candidates(2), 1, 1, None).is_complete);
}

#[test]
fn rules_hold_with_two_candidates_and_two_commands() {
    assert!(explore(candidates(2), 0, 2, None).is_complete);
}

#[test]
fn rules_hold_with_three_candidates_and_a_fault() {
    assert!(explore(candidates(3), 1, 0, None).is_complete);
}

#[test]
fn rules_hold_with_three_candidates_and_a_command() {
    assert!(explore(candidates(3), 0, 1, None).is_complete);
}

#[test]
fn rules_hold_with_three_candidates_to_a_depth() {
    assert!(!explore(candidates(3), 2, 1, Some(12)).is_complete);
}

#[test]
fn rules_hold_with_two_lock_callers_and_two_faults() {
    assert!(explore(lock_callers(2), 2, 0, None).is_complete);
}

#[test]
fn rules_hold_with_two_lock_callers_a_fault_and_a_command() {
    assert!(explore(lock_callers(2), 1, 1, None).is_complete);
}

#[test]
fn rules_hold_with_two_lock_callers_and_two_commands() {
    assert!(explore(lock_callers(2), 0, 2, None).is_complete);
}

#[test]
fn rules_hold_with_a_candidate_a_lock_caller_a_fault_and_a_command() {
    assert!(explore(ONE_OF_EACH, 1, 1, None).is_complete);
}

/// Asserts that the search breaks that rule once the mutation is applied.
fn breaks(who: Participants, mutation: Mutation, faults: u8, commands: u8, rule: &'static str) {
    let Participants { candidates, lock_callers } = who;
    let budget = Budget { faults, commands };
    let model = LeaseModel::new(candidates, lock_callers, budget).unwrap().without(mutation);
    let explored = model.find_counterexample(rule);
    println!("{mutation:?}: {explored}");
    let broken = explored.counterexamples.iter().any(|(broken, _)| *broken == rule);
    assert!(
        broken,
        "{candidates} candidates, {lock_callers} lock callers: {mutation:?} does not break {rule}"
    );
}

/// Asserts the same for candidates and for callers of a lock.
fn breaks_for_all(mutation: Mutation, faults: u8, commands: u8, rule: &'static str) {
    for who in [candidates(2), lock_callers(2)] {
        breaks(who, mutation, faults, commands, rule);
    }
}

const EXCLUSION: &str = "at most one instance trusts its lease";

#[test]
fn removing_the_margin_is_caught() {
    breaks_for_all(Mutation::NoMargin, 2, 0, "an instance that trusts its lease holds it");
}

#[test]
fn reviving_a_lease_is_caught() {
    breaks_for_all(Mutation::RevivedLease, 2, 0, "an expired lease is never revived");
}

#[test]
fn an_inserting_renewal_is_caught() {
    breaks_for_all(Mutation::UpsertedRenewal, 2, 0, "an instance that trusts its lease holds it");
}

#[test]
fn renewing_a_disabled_name_is_caught() {
    let rule = "nobody leads a disabled name past its lease";
    breaks_for_all(Mutation::RenewedThoughDisabled, 0, 1, rule);
}

#[test]
fn release_before_stop_is_caught() {
    breaks(candidates(2), Mutation::ReleaseBeforeStop, 0, 1, EXCLUSION);
    // A guard ends on its own only if its name was disabled. Another caller acquires the lock once
    // it is enabled.
    breaks(lock_callers(2), Mutation::ReleaseBeforeStop, 0, 2, EXCLUSION);
}

#[test]
fn a_new_id_for_a_retry_is_caught() {
    breaks_for_all(
        Mutation::NewIdForRetry,
        1,
        0,
        "no instance is refused because of its own attempt",
    );
}

#[test]
fn a_new_id_after_a_refused_retry_is_caught() {
    breaks_for_all(
        Mutation::NewIdAfterRefusal,
        2,
        0,
        "no instance is refused because of its own attempt",
    );
}

#[test]
fn trust_counted_from_the_reply_is_caught() {
    breaks_for_all(Mutation::TrustFromReply, 2, 0, EXCLUSION);
}

/// A lock has no job that could be aborted.
#[test]
fn release_after_an_abort_is_caught() {
    breaks(
        candidates(2),
        Mutation::ReleaseAfterAbort,
        0,
        1,
        "no lease of an aborted job is released",
    );
}
