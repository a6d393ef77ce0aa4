//! The rule of queues and the state machine of an entry keep all promises in every order of events
//! that a few faults and commands allow, and the search notices when a rule is removed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;

use leasehold_core::LockKind;
use leasehold_verification::explored::Explored;
use leasehold_verification::export_figure;
use leasehold_verification::model::Budget;
use leasehold_verification::queue_model::{Mutation, QueueModel, QueueStep};

const WRITER: u32 = LockKind::WRITER_WEIGHT;

fn explore(
    kind: LockKind,
    weights: &[u32],
    (faults, commands): (u8, u8),
    steps: Option<usize>,
) -> Explored<QueueStep> {
    let model = QueueModel::new(kind, weights, Budget { faults, commands }).unwrap();
    let explored = model.explore(steps.and_then(NonZeroUsize::new));
    export_figure(&format!(
        "queue model: {}, entries of {weights:?}, {faults} faults, {commands} commands: {explored}",
        kind.code()
    ));
    assert!(explored.counterexamples.is_empty(), "{explored}");
    explored
}

#[test]
fn rules_hold_with_one_caller_of_a_fair_lock_two_faults_and_a_command() {
    assert!(explore(LockKind::Fair, &[1], (2, 1), None).is_complete);
}

#[test]
fn rules_hold_with_two_callers_of_a_fair_lock_and_a_fault() {
    assert!(explore(LockKind::Fair, &[1, 1], (1, 0), None).is_complete);
}

#[test]
fn rules_hold_with_two_callers_of_a_fair_lock_and_two_commands() {
    assert!(explore(LockKind::Fair, &[1, 1], (0, 2), None).is_complete);
}

#[test]
fn rules_hold_with_two_callers_of_a_fair_lock_a_fault_and_a_command_to_a_depth() {
    assert!(!explore(LockKind::Fair, &[1, 1], (1, 1), Some(16)).is_complete);
}

#[test]
fn rules_hold_with_three_callers_of_a_fair_lock() {
    assert!(explore(LockKind::Fair, &[1, 1, 1], (0, 0), None).is_complete);
}

#[test]
fn rules_hold_with_three_callers_of_a_fair_lock_and_two_faults_to_a_depth() {
    assert!(!explore(LockKind::Fair, &[1, 1, 1], (2, 0), Some(12)).is_complete);
}

#[test]
fn rules_hold_with_a_semaphore_of_two_permits_and_a_command_to_a_depth() {
    let kind = LockKind::semaphore(2).unwrap();
    assert!(!explore(kind, &[1, 2, 1], (0, 1), Some(16)).is_complete);
}

#[test]
fn rules_hold_with_a_semaphore_of_two_permits_and_a_fault_to_a_depth() {
    let kind = LockKind::semaphore(2).unwrap();
    assert!(!explore(kind, &[1, 2, 1], (1, 0), Some(13)).is_complete);
}

#[test]
fn rules_hold_with_a_reader_a_writer_and_a_fault() {
    assert!(explore(LockKind::ReaderWriter, &[1, WRITER], (1, 0), None).is_complete);
}

#[test]
fn rules_hold_with_two_readers_a_writer_and_a_command_to_a_depth() {
    assert!(!explore(LockKind::ReaderWriter, &[1, WRITER, 1], (0, 1), Some(16)).is_complete);
}

/// Asserts that the search breaks that rule once the mutation is applied.
fn breaks(
    kind: LockKind,
    weights: &[u32],
    mutation: Mutation,
    (faults, commands): (u8, u8),
    rule: &'static str,
) {
    let model = QueueModel::new(kind, weights, Budget { faults, commands }).unwrap();
    let explored = model.without(mutation).find_counterexample(rule);
    println!("{mutation:?}: {explored}");
    let broken = explored.counterexamples.iter().any(|(broken, _)| *broken == rule);
    assert!(broken, "{kind}, {weights:?}: {mutation:?} does not break {rule}");
}

const LIVE: &str = "an entry that is trusted is live";

#[test]
fn removing_the_margin_is_caught() {
    breaks(LockKind::Fair, &[1], Mutation::NoMargin, (2, 0), LIVE);
}

#[test]
fn trust_counted_from_the_reply_is_caught() {
    breaks(LockKind::Fair, &[1], Mutation::TrustFromReply, (2, 0), LIVE);
}

#[test]
fn a_waiter_that_ignores_the_time_left_is_caught() {
    breaks(LockKind::Fair, &[1], Mutation::IgnoresTimeLeft, (1, 0), LIVE);
}

#[test]
fn trusting_an_entry_that_waits_is_caught() {
    let rule = "the entries that instances trust do not exceed the capacity";
    breaks(LockKind::Fair, &[1, 1], Mutation::TrustsWaitingEntry, (0, 0), rule);
}

#[test]
fn a_waiter_that_needs_a_hint_is_caught() {
    let rule = "a waiter learns without a hint that its entry holds the lock";
    breaks(LockKind::Fair, &[1, 1], Mutation::NeedsHint, (0, 1), rule);
}

#[test]
fn a_new_id_for_a_retry_is_caught() {
    let rule = "no instance waits behind its own attempt";
    breaks(LockKind::Fair, &[1], Mutation::NewIdForRetry, (1, 0), rule);
}

#[test]
fn reviving_an_entry_is_caught() {
    let rule = "an expired entry is never revived";
    breaks(LockKind::Fair, &[1], Mutation::RevivedEntry, (1, 0), rule);
}

#[test]
fn a_repeated_token_is_caught() {
    let rule = "tokens strictly increase in the order of arrival";
    breaks(LockKind::Fair, &[1, 1], Mutation::RepeatedToken, (0, 0), rule);
}

#[test]
fn a_second_entry_for_a_retry_is_caught() {
    breaks(LockKind::Fair, &[1], Mutation::SecondEntry, (1, 0), "an attempt has one entry");
}

#[test]
fn skipping_the_head_is_caught() {
    let rule = "nobody holds the lock ahead of an earlier live entry that waits";
    let semaphore = LockKind::semaphore(2).unwrap();
    breaks(semaphore, &[1, 2, 1], Mutation::SkipsHead, (0, 0), rule);
    breaks(LockKind::ReaderWriter, &[1, WRITER, 1], Mutation::SkipsHead, (0, 0), rule);
}

#[test]
fn an_expired_entry_that_counts_is_caught() {
    let rule = "once faults have ended, an instance holds the lock";
    breaks(LockKind::Fair, &[1], Mutation::CountsExpired, (1, 0), rule);
}
