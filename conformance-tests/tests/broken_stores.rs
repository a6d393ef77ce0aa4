//! The suite can fail: each broken store is caught by the case that is meant for it, and the same
//! store without the fault passes that case.

mod broken;

use std::sync::Arc;

use broken::{Broken, Fault};
use futures_util::{StreamExt, stream};
use leasehold_conformance::{Verdict, run_case};

/// A race may not show in one run of a case while the machine is busy, so a case has a few runs.
const RUNS: usize = 10;

async fn assert_caught(fault: Fault, case: &str) {
    let sound = run_case(Arc::new(Broken::new(None)), case).await;
    assert!(matches!(sound, Verdict::Passed), "{case} on a sound store: {sound:?}");
    for _ in 0..RUNS {
        match run_case(Arc::new(Broken::new(Some(fault))), case).await {
            Verdict::Failed(failure) => {
                let failure = failure.to_string();
                assert!(!failure.contains("hangs"), "{fault:?} is caught only by the time limit");
                return;
            }
            Verdict::Passed => {}
            verdict => panic!("{case} does not run on {fault:?}: {verdict:?}"),
        }
    }
    panic!("{case} does not catch {fault:?} in {RUNS} runs");
}

macro_rules! caught {
    ($($test:ident: $fault:ident by $case:literal),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            assert_caught(Fault::$fault, $case).await;
        }
    )+};
}

caught! {
    check_then_grant: ChecksThenGrants
        by "exclusion::one_of_32_contenders_is_granted",
    check_then_grant_by_overlap: ChecksThenGrants
        by "exclusion::holders_among_32_contenders_never_overlap",
    lease_that_ends_early: EndsEarly
        by "exclusion::a_lease_lasts_as_long_as_the_store_said",
    token_restarts_after_release: TokenRestartsAfterRelease
        by "fencing::token_increases_after_release",
    token_restarts_after_expiry: TokenRestartsAfterExpiry
        by "fencing::token_increases_after_expiry",
    token_restarts_after_deletion: TokenRestartsAfterDeletion
        by "fencing::token_increases_after_the_record_is_deleted",
    retry_is_a_new_grant: RetryGrantsAgain
        by "idempotence::a_retry_returns_the_same_grant",
    retry_is_a_new_grant_when_duplicated: RetryGrantsAgain
        by "idempotence::duplicates_sent_at_once_are_one_grant",
    retry_is_a_new_grant_after_a_lost_reply: RetryGrantsAgain
        by "unknown::a_retry_settles_a_lost_grant",
    retry_extends: RetryExtends
        by "idempotence::a_retry_extends_nothing",
    renew_revives: RenewRevives
        by "renewal::an_expired_lease_is_lost",
    renew_inserts: RenewInserts
        by "renewal::a_lease_never_granted_is_lost_and_creates_nothing",
    renew_ignores_the_id: RenewIgnoresTheId
        by "renewal::a_foreign_id_is_lost_and_extends_nothing",
    renew_extends_all: RenewExtendsAll
        by "batch::only_the_leases_in_force_are_extended",
    batch_answers_in_another_order: BatchAnswersInAnotherOrder
        by "batch::a_thousand_leases_are_answered_in_order",
    release_ignores_the_id: ReleaseIgnoresTheId
        by "release::anothers_lease_stays",
    client_clock: ClientClock
        by "server_time::all_clients_agree_about_what_is_left",
    client_clock_by_overlap: ClientClock
        by "exclusion::leases_that_run_out_never_overlap",
    unknown_is_called_failed: UnknownIsCalledFailed
        by "unknown::a_withheld_reply_is_an_unknown_outcome",
    release_forgets_disable: ReleaseForgetsDisable
        by "disable::a_disabled_name_stays_disabled_whatever_else_happens",
    renew_forgets_disable: RenewForgetsDisable
        by "disable::a_disabled_name_stays_disabled_whatever_else_happens",
    grant_forgets_disable: GrantForgetsDisable
        by "disable::a_disabled_name_stays_disabled_whatever_else_happens",
    holder_outlives_disable: HolderOutlivesDisable
        by "disable::a_holder_is_told_why_and_not_extended",
    enable_forgets_the_end: EnableForgetsTheEnd
        by "disable::a_lease_that_was_told_to_end_ends_after_enable_too",
    disable_replaces_the_reason: DisableReplacesTheReason
        by "disable::a_second_disable_keeps_the_first_reason",
    check_then_disable: ChecksThenDisables
        by "disable::one_of_16_disables_at_once_is_the_disable",
    enable_inserts: EnableInserts
        by "disable::enable_of_an_enabled_name_changes_and_creates_nothing",
    no_hints: GivesNoHints
        by "hints::a_release_is_hinted_to_other_clients",
    hints_at_heartbeats: HintsAtHeartbeats
        by "hints::heartbeats_give_no_hints",
    folded_names: FoldsCase
        by "names::all_look_alikes_are_held_at_once",
    trimmed_names: TrimsNames
        by "names::all_look_alikes_are_held_at_once",
    prefix_is_a_pattern: PrefixIsAPattern
        by "records::no_character_of_a_prefix_is_special",
    list_in_another_order: ListsInAnotherOrder
        by "names::look_alikes_are_listed_byte_for_byte_in_byte_order",
    dropped_halfway: DroppedHalfway
        by "cancellation::a_dropped_acquire_leaves_before_or_after",
    dropped_call_leaks: DroppedCallLeaks
        by "cancellation::dropped_calls_use_up_no_connections",
    any_ttl: GrantsAnyTtl
        by "input::a_ttl_that_cannot_be_granted_is_refused",
    three_trips: AcquireTakesThreeTrips
        by "round_trips::an_uncontended_acquire_stays_within_its_budget",
    a_trip_each: BatchTakesATripEach
        by "round_trips::a_batch_takes_as_many_whatever_its_size",
    prune_removes_held_names: PruneRemovesHeldNames
        by "prune::names_in_use_are_left",
    prune_forgets_disable: PruneForgetsDisable
        by "prune::names_in_use_are_left",
    prune_ignores_the_age: PruneIgnoresTheAge
        by "prune::a_name_granted_lately_is_left",
    dry_run_prunes: DryRunPrunes
        by "prune::a_dry_run_removes_nothing",
    token_restarts_after_prune: TokenRestartsAfterDeletion
        by "prune::an_unused_name_is_pruned_and_its_next_token_is_larger",
    mixed_up_namespaces: MixesUpNamespaces
        by "rights::namespaces_are_apart",
}

/// These are the faults that show in the answers of single calls.
const IN_ANSWERS: &[Fault] = &[
    Fault::EndsEarly,
    Fault::TokenRestartsAfterRelease,
    Fault::TokenRestartsAfterExpiry,
    Fault::RetryGrantsAgain,
    Fault::RetryExtends,
    Fault::RenewRevives,
    Fault::RenewInserts,
    Fault::RenewIgnoresTheId,
    Fault::RenewExtendsAll,
    Fault::BatchAnswersInAnotherOrder,
    Fault::ReleaseIgnoresTheId,
    Fault::ClientClock,
    Fault::ReleaseForgetsDisable,
    Fault::RenewForgetsDisable,
    Fault::GrantForgetsDisable,
    Fault::HolderOutlivesDisable,
    Fault::EnableForgetsTheEnd,
    Fault::DisableReplacesTheReason,
    Fault::EnableInserts,
    Fault::FoldsCase,
];

/// Asserts that random sequences find each of these faults, and that the reported sequence has few
/// steps.
async fn assert_found_in_sequences(faults: &[Fault], case: &'static str) {
    let sound = run_case(Arc::new(Broken::new(None)), case).await;
    assert!(matches!(sound, Verdict::Passed), "{case} on a sound store: {sound:?}");
    let runs = faults.iter().map(|fault| async move { (fault, find(*fault, case).await) });
    // Only a few run at the same time, so that a failure is due to the fault and not to a slow
    // machine.
    let verdicts: Vec<_> = stream::iter(runs).buffer_unordered(6).collect().await;
    let mut lengths = Vec::new();
    for (fault, verdict) in verdicts {
        let Verdict::Failed(failure) = verdict else {
            panic!("{case} does not catch {fault:?}: {verdict:?}")
        };
        let report = failure.to_string();
        println!("{fault:?}: {report}\n");
        assert!(report.contains("This contradicts the contract."), "{fault:?}: {report}");
        lengths.push(report.lines().filter(|line| line.contains(" ms  ")).count());
    }
    lengths.sort_unstable();
    assert!(lengths[lengths.len() / 2] <= 4, "the reports have too many steps: {lengths:?}");
}

/// Runs the case until it finds the fault. On a machine that stalls from time to time, leases end
/// before the steps that would show the fault.
async fn find(fault: Fault, case: &'static str) -> Verdict {
    const RUNS: usize = 20;
    for _ in 1..RUNS {
        let verdict = run_case(Arc::new(Broken::new(Some(fault))), case).await;
        if matches!(verdict, Verdict::Failed(_)) {
            return verdict;
        }
    }
    run_case(Arc::new(Broken::new(Some(fault))), case).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_found_in_sequences() {
    assert_found_in_sequences(IN_ANSWERS, "properties::each_answer_in_a_sequence_is_the_models")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_found_in_sequences_though_answers_get_lost() {
    let faults = [Fault::RetryGrantsAgain, Fault::RenewRevives, Fault::EnableForgetsTheEnd];
    assert_found_in_sequences(
        &faults,
        "properties::each_answer_is_the_models_though_others_get_lost",
    )
    .await;
}

#[tokio::test]
async fn a_case_that_does_not_exist_is_not_passed() {
    let verdict = run_case(Arc::new(Broken::new(None)), "fencing::no_such_case").await;
    assert!(matches!(verdict, Verdict::Ignored(_)), "{verdict:?}");
}
