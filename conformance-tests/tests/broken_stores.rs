//! The suite can fail: each broken store is caught by the case that is meant for it, and the same
//! store without the fault passes that case.

mod broken;

use std::sync::Arc;

use broken::{Broken, Fault};
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
    a_check_before_a_separate_grant_is_caught: ChecksThenGrants
        by "exclusion::one_of_32_contenders_is_granted",
    a_check_before_a_separate_grant_is_caught_by_overlap: ChecksThenGrants
        by "exclusion::holders_among_32_contenders_never_overlap",
    a_lease_that_ends_early_is_caught: EndsEarly
        by "exclusion::a_lease_lasts_as_long_as_the_store_reported",
    a_token_restart_after_release_is_caught: TokenRestartsAfterRelease
        by "fencing::token_increases_after_release",
    a_token_restart_after_expiry_is_caught: TokenRestartsAfterExpiry
        by "fencing::token_increases_after_expiry",
    a_token_restart_after_deletion_is_caught: TokenRestartsAfterDeletion
        by "fencing::token_increases_after_the_record_is_deleted",
    a_new_grant_for_a_retry_is_caught: RetryGrantsAgain
        by "idempotence::a_retry_returns_the_same_grant",
    a_new_grant_for_a_concurrent_retry_is_caught: RetryGrantsAgain
        by "idempotence::concurrent_duplicates_get_one_grant",
    a_new_grant_for_a_retry_after_a_lost_reply_is_caught: RetryGrantsAgain
        by "unknown::retry_after_lost_reply_returns_the_grant",
    a_retry_that_extends_is_caught: RetryExtends
        by "idempotence::a_retry_does_not_extend_the_lease",
    a_renewal_that_revives_is_caught: RenewRevives
        by "renewal::an_expired_lease_is_lost",
    a_renewal_that_inserts_is_caught: RenewInserts
        by "renewal::a_never_granted_lease_is_lost_and_creates_no_record",
    a_renewal_that_ignores_the_id_is_caught: RenewIgnoresTheId
        by "renewal::a_renewal_with_another_lease_id_is_lost_and_extends_nothing",
    a_renewal_that_extends_the_whole_batch_is_caught: RenewExtendsAll
        by "batch::only_the_leases_in_force_are_extended",
    a_batch_answered_in_another_order_is_caught: BatchAnswersInAnotherOrder
        by "batch::a_thousand_leases_are_answered_in_order",
    releases_answered_in_another_order_are_caught: BatchAnswersInAnotherOrder
        by "batch::each_lease_of_a_batch_is_released_by_its_own_id",
    a_batch_of_releases_that_ignores_the_ids_is_caught: ReleaseIgnoresTheId
        by "batch::each_lease_of_a_batch_is_released_by_its_own_id",
    attempts_answered_in_another_order_are_caught: BatchAnswersInAnotherOrder
        by "batch::each_attempt_of_a_batch_is_answered_in_order",
    a_release_that_ignores_the_id_is_caught: ReleaseIgnoresTheId
        by "release::a_release_with_another_lease_id_releases_nothing",
    a_decision_by_a_clients_clock_is_caught: ClientClock
        by "server_time::all_clients_agree_about_the_time_left",
    a_decision_by_a_clients_clock_is_caught_by_overlap: ClientClock
        by "exclusion::expiring_leases_never_overlap",
    an_unknown_outcome_reported_as_failed_is_caught: UnknownIsCalledFailed
        by "unknown::an_acquire_without_a_reply_has_an_unknown_outcome",
    a_release_that_forgets_a_disable_is_caught: ReleaseForgetsDisable
        by "disable::a_name_stays_disabled_after_release_expiry_and_renewal",
    a_renewal_that_forgets_a_disable_is_caught: RenewForgetsDisable
        by "disable::a_name_stays_disabled_after_release_expiry_and_renewal",
    a_grant_that_forgets_a_disable_is_caught: GrantForgetsDisable
        by "disable::a_name_stays_disabled_after_release_expiry_and_renewal",
    a_renewal_of_a_disabled_name_is_caught: HolderOutlivesDisable
        by "disable::a_renewal_of_a_disabled_name_reports_the_reason_and_extends_nothing",
    an_enable_that_cancels_the_end_is_caught: EnableForgetsTheEnd
        by "disable::an_ending_lease_is_not_renewed_after_enable",
    a_second_disable_that_replaces_the_reason_is_caught: DisableReplacesTheReason
        by "disable::a_second_disable_keeps_the_first_reason",
    a_check_before_a_separate_disable_is_caught: ChecksThenDisables
        by "disable::one_of_16_concurrent_disables_takes_effect",
    an_enable_that_inserts_is_caught: EnableInserts
        by "disable::enable_of_an_enabled_name_changes_and_creates_nothing",
    a_store_without_hints_is_caught: GivesNoHints
        by "hints::a_release_is_hinted_to_other_clients",
    hints_caused_by_heartbeats_are_caught: HintsAtHeartbeats
        by "hints::heartbeats_cause_no_hints",
    folded_names_are_caught: FoldsCase
        by "names::similar_names_can_all_be_held_at_the_same_time",
    trimmed_names_are_caught: TrimsNames
        by "names::similar_names_can_all_be_held_at_the_same_time",
    a_prefix_read_as_a_pattern_is_caught: PrefixIsAPattern
        by "records::every_character_of_a_prefix_is_literal",
    a_list_in_another_order_is_caught: ListsInAnotherOrder
        by "names::similar_names_are_listed_unchanged_in_byte_order",
    a_dropped_acquire_that_grants_half_is_caught: DroppedHalfway
        by "cancellation::a_dropped_acquire_is_atomic",
    a_dropped_call_that_leaks_is_caught: DroppedCallLeaks
        by "cancellation::dropped_calls_leak_no_connections",
    an_unchecked_ttl_is_caught: GrantsAnyTtl
        by "input::an_out_of_range_ttl_is_refused",
    an_acquire_with_three_round_trips_is_caught: AcquireTakesThreeTrips
        by "round_trips::an_uncontended_acquire_stays_within_its_budget",
    a_batch_with_a_round_trip_per_lease_is_caught: BatchTakesATripEach
        by "round_trips::round_trips_of_a_batch_do_not_grow_with_its_size",
    a_prune_of_held_names_is_caught: PruneRemovesHeldNames
        by "prune::names_in_use_are_not_pruned",
    a_prune_of_disabled_names_is_caught: PruneForgetsDisable
        by "prune::names_in_use_are_not_pruned",
    a_prune_that_ignores_the_age_is_caught: PruneIgnoresTheAge
        by "prune::a_recently_granted_name_is_not_pruned",
    a_dry_run_that_prunes_is_caught: DryRunPrunes
        by "prune::a_dry_run_removes_nothing",
    a_token_restart_after_prune_is_caught: TokenRestartsAfterDeletion
        by "prune::an_unused_name_is_pruned_and_its_next_token_is_larger",
    mixed_up_namespaces_are_caught: MixesUpNamespaces
        by "rights::namespaces_are_separate",
}

caught! {
    ignored_weights_are_caught: IgnoresWeights
        by "queue_contention::contenders_of_a_semaphore_never_exceed_its_permits",
    readers_that_starve_a_writer_are_caught: LightEntriesOvertake
        by "queue_order::readers_do_not_overtake_a_writer_that_waits",
    a_light_entry_that_overtakes_is_caught: LightEntriesOvertake
        by "queue_contention::contenders_of_a_semaphore_never_exceed_its_permits",
    a_check_before_a_separate_entry_is_caught: ChecksThenEnters
        by "queue_contention::concurrent_attempts_that_do_not_wait_share_the_capacity",
    a_limit_of_one_that_runs_twice_is_caught: ChecksThenEnters
        by "queue_contention::contenders_of_a_semaphore_of_one_permit_hold_it_one_at_a_time",
    a_second_entry_for_a_retry_is_caught: RetryEntersAgain
        by "queue_attempts::a_retry_returns_the_standing_of_the_entry_and_extends_nothing",
    a_second_entry_for_a_concurrent_retry_is_caught: RetryEntersAgain
        by "queue_attempts::concurrent_duplicates_of_an_attempt_make_one_entry",
    a_retry_that_extends_its_entry_is_caught: RetryExtendsTheEntry
        by "queue_attempts::a_retry_returns_the_standing_of_the_entry_and_extends_nothing",
    a_grant_that_is_about_to_expire_is_caught: RetryReportsTheWholeTtl
        by "queue_ends::a_grant_that_is_about_to_expire_overlaps_with_no_other",
    an_attempt_that_waits_anyway_is_caught: WaitsAnyway
        by "queue_attempts::an_attempt_that_does_not_wait_makes_no_entry_that_would_have_to",
    a_queue_without_a_maximum_is_caught: QueueHasNoMaximum
        by "queue_attempts::a_queue_has_a_maximum_of_entries",
    an_unchecked_weight_is_caught: EntersWithAnyWeight
        by "queue_attempts::impossible_entries_are_refused_with_nothing_written",
    mixed_kinds_are_caught: MixesKinds
        by "queue_kinds::a_name_in_use_as_one_kind_is_refused_as_another",
    an_entry_beside_a_lease_is_caught: EnterIgnoresTheLease
        by "queue_kinds::a_name_with_an_exclusive_lease_gets_no_entry",
    a_lease_beside_entries_is_caught: AcquireIgnoresEntries
        by "queue_kinds::a_name_with_entries_gets_no_exclusive_lease",
    a_token_restart_of_another_kind_is_caught: EntryTokensRestart
        by "queue_kinds::tokens_increase_across_kinds",
    a_floor_above_the_first_token_is_caught: FloorIsTheOwnToken
        by "queue_order::the_floor_is_the_smallest_token_of_the_queue",
    an_entry_of_a_disabled_name_is_caught: EnterForgetsDisable
        by "queue_disable::a_disabled_name_gets_no_entry",
    a_disable_that_forgets_the_waiters_is_caught: DisableForgetsWaiters
        by "queue_disable::holders_and_waiters_of_a_disabled_name_are_told_to_leave",
    an_enable_that_forgets_the_entries_is_caught: EnableForgetsEntries
        by "queue_disable::entries_that_were_told_to_leave_have_to_leave_after_an_enable",
    a_dead_waiter_that_blocks_is_caught: DeadEntriesBlock
        by "queue_ends::a_dead_waiter_holds_nobody_up_once_it_has_expired",
    an_expired_waiter_that_still_gets_the_lock_is_caught: RenewRevivesEntries
        by "queue_ends::an_expired_entry_is_never_revived",
    a_waiter_that_is_not_extended_is_caught: WaitersAreNotExtended
        by "queue_renewals::renewals_extend_holders_and_waiters",
    a_renewal_that_grants_is_caught: RenewGrantsWaiters
        by "queue_order::each_waiter_holds_the_lock_in_its_turn",
    a_renewal_that_grants_is_caught_by_overlap: RenewGrantsWaiters
        by "queue_contention::contenders_of_a_fair_lock_hold_it_one_at_a_time_in_order",
    a_batch_answered_by_leases_and_entries_is_caught: BatchAnswersEntriesLast
        by "queue_renewals::leases_and_entries_of_a_batch_are_answered_in_order",
    a_leave_that_ignores_the_id_is_caught: LeaveIgnoresTheId
        by "queue_ends::a_leave_with_another_lease_id_removes_nothing",
    a_waiter_that_cannot_leave_is_caught: LeaveKeepsWaiters
        by "queue_ends::a_waiter_that_leaves_holds_nobody_up",
    a_release_of_an_entry_is_caught: ReleaseRemovesEntries
        by "queue_ends::a_release_removes_no_entry_and_a_leave_ends_no_lease",
    a_prune_of_names_with_entries_is_caught: PruneRemovesHeldNames
        by "queue_ends::a_name_with_live_entries_is_not_pruned",
    a_hint_for_another_entry_is_caught: HintNamesTheLeaver
        by "queue_hints::a_leave_is_hinted_to_the_entry_that_holds_the_lock",
    hints_caused_by_heartbeats_of_entries_are_caught: HintsAtHeartbeats
        by "queue_hints::heartbeats_of_entries_cause_no_hints",
    mixed_up_namespaces_of_queues_are_caught: MixesUpNamespaces
        by "queue_names::queues_of_different_namespaces_are_separate",
    folded_names_of_queues_are_caught: FoldsCase
        by "queue_names::similar_names_have_queues_of_their_own",
}

#[tokio::test]
async fn an_unknown_case_does_not_pass() {
    let verdict = run_case(Arc::new(Broken::new(None)), "fencing::no_such_case").await;
    assert!(matches!(verdict, Verdict::Ignored(_)), "{verdict:?}");
}
