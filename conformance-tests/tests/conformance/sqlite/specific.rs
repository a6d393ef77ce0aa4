//! This module lists the cases that are specific to SQLite. Each makes files of its own.

use leasehold_conformance::OwnCase;

use super::backend::Sqlite;
use super::{
    cancel, connections, containers, damage, files, leases, queue_schema, queues, replaced, schema,
    schema_versions, watches,
};

macro_rules! cases {
    ($($module:ident: $($case:ident),+;)+) => {
        /// These are the cases, each with its name.
        pub(crate) const CASES: &[OwnCase<Sqlite>] = &[
            $($((
                concat!("specific::", stringify!($case)),
                |_| Box::pin($module::$case()),
            )),+),+
        ];
    };
}

cases! {
    cancel:
        a_call_can_be_dropped_at_any_step,
        a_call_ends_in_the_database_without_its_caller,
        concurrent_dropped_calls_leave_no_state,
        an_acquire_that_is_dropped_and_retried_gets_one_grant,
        a_dropped_open_leaves_the_file_usable;
    connections:
        a_long_query_on_the_applications_pool_loses_no_lease,
        slow_reads_on_all_store_connections_lose_no_lease,
        a_call_that_is_not_polled_delays_no_heartbeat,
        a_held_name_is_refused_while_another_process_writes,
        a_grant_is_not_part_of_a_transaction_that_the_application_left_open,
        a_store_on_a_closed_pool_grants_nothing;
    containers:
        a_lease_is_in_force_in_containers_with_another_boot_id,
        part_of_another_case_that_runs_in_a_container;
    damage:
        a_corrupt_row_is_reported_by_every_read,
        a_corrupt_row_makes_only_its_own_renewal_unknown,
        a_lease_that_is_told_to_end_is_disabled_in_a_row_that_is_otherwise_corrupt,
        a_corrupt_lease_is_not_overwritten,
        a_token_at_its_limit_is_an_error;
    files:
        a_non_database_file_is_left_unchanged,
        a_path_that_is_not_a_file_is_refused,
        an_unwritable_folder_is_denied,
        an_empty_file_becomes_a_database,
        a_read_only_database_denies_writes,
        a_path_in_a_url_is_taken_literally,
        a_locked_database_is_unavailable,
        a_full_disk_loses_no_data_and_no_connection;
    leases:
        a_lease_of_another_boot_id_is_in_force_for_its_ttl,
        a_lease_of_an_earlier_boot_has_expired,
        a_renewed_lease_of_another_boot_id_is_in_force,
        a_name_whose_token_is_ahead_of_the_clock_is_not_pruned,
        tokens_grow_after_row_deletion_and_clock_set_back,
        waiting_for_the_write_lock_revives_no_lease,
        an_earlier_renewal_takes_back_no_later_one,
        a_first_token_is_later_than_the_wait_for_the_write_lock,
        batch_answers_keep_the_order_of_the_request,
        a_batch_uses_the_primary_key;
    queue_schema:
        a_table_without_the_columns_of_queues_has_exclusive_locks_only,
        a_store_from_before_the_upgrade_finds_a_name_with_a_queue_held,
        columns_of_an_application_do_not_become_queues;
    queues:
        a_corrupt_queue_is_reported_and_concerns_only_its_own_name,
        an_earlier_queue_of_the_row_has_no_effect,
        entries_of_another_boot_id_are_live_and_of_an_earlier_boot_are_not,
        waiting_for_the_write_lock_revives_no_entry,
        an_entry_that_expires_while_another_waits_for_the_write_lock_holds_nobody_up,
        a_hint_names_the_entries_that_hold_the_lock_after_one_has_left,
        entering_and_renewing_entries_wakes_no_watch;
    replaced:
        leases_in_a_file_that_is_deleted_or_replaced_are_lost,
        a_link_to_another_file_is_detected,
        another_process_may_switch_to_the_write_ahead_log,
        a_file_that_is_put_back_is_used_again,
        an_application_may_close_its_connections;
    schema:
        sixteen_processes_can_create_the_schema_at_once,
        opening_an_existing_schema_writes_nothing,
        missing_tables_are_created_only_if_allowed,
        the_printed_schema_equals_the_created_one,
        another_table_of_that_name_is_refused,
        a_table_dropped_at_run_time_is_reported,
        namespaces_in_one_file_are_separate,
        an_applications_pool_is_not_reconfigured,
        an_in_memory_pool_works,
        text_in_another_encoding_is_refused;
    schema_versions:
        schema_1_is_used_or_upgraded_to_2,
        a_lease_row_reused_by_schema_1_is_valid_in_other_containers,
        schema_1_is_used_without_ddl_rights,
        the_printed_schema_upgrades_schema_1,
        added_columns_are_accepted_unless_they_need_a_value,
        schema_differences_are_named,
        a_later_schema_is_refused;
    watches:
        a_watch_hints_at_changes_of_other_processes,
        changes_set_the_times_of_the_file_and_heartbeats_do_not,
        a_change_that_is_not_announced_is_noticed,
        an_unpolled_watch_holds_no_connection,
        all_watches_of_a_store_get_hints_and_so_does_a_later_one,
        a_watch_survives_the_runtime_of_another_watch;
}
