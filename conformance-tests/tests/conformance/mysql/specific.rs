//! This module lists the cases that are specific to MySQL and MariaDB.

use super::{
    MySql, calls, connect_errors, damage, databases, fence, found_rows_flag, rows, schema,
    session_loss, switch_over, tls, user_locks,
};

specific_cases! {
    MySql;
    connect_errors:
        a_wrong_password_is_denied_and_not_shown,
        a_missing_database_is_named_in_the_error,
        schema_require_creates_no_missing_table,
        a_user_without_create_permission_is_denied,
        a_read_only_user_is_denied_writes,
        a_read_only_server_is_refused,
        a_foreign_table_is_refused_and_not_changed,
        a_server_that_is_not_mysql_is_refused,
        a_server_is_reached_over_its_socket_and_over_ipv6;
    rows:
        a_corrupt_row_affects_only_its_own_name,
        waiting_for_a_row_lock_revives_no_lease,
        batches_in_opposite_orders_do_not_fail,
        session_settings_change_no_outcome;
    databases:
        connections_to_different_databases_grant_a_name_once;
    schema:
        a_table_without_a_version_has_schema_1,
        a_later_schema_is_refused;
    fence:
        the_fenced_write_of_an_overtaken_holder_has_no_effect;
    found_rows_flag:
        outcomes_do_not_depend_on_the_found_rows_flag;
    session_loss:
        a_killed_session_is_replaced,
        a_release_on_a_dead_connection_is_sent_again,
        a_release_whose_reply_is_lost_has_an_unknown_outcome,
        an_unread_watch_blocks_no_call,
        a_closed_pool_ends_the_watch;
    calls:
        abandoned_calls_use_a_bounded_number_of_sessions,
        calls_that_wait_for_a_connection_use_a_bounded_number_of_sessions,
        abandoned_calls_do_not_count_after_an_outage,
        a_grant_whose_reply_is_lost_keeps_its_token,
        heartbeats_do_not_wait_behind_the_applications_statements,
        sessions_that_end_while_idle_fail_no_call,
        connections_are_bounded_and_closed_when_idle,
        a_connection_outlives_a_pause_of_one_ttl;
    switch_over:
        the_first_call_after_a_switchover_follows_the_address;
    damage:
        a_corrupt_row_hides_no_other_name,
        a_corrupt_row_is_not_pruned;
    tls:
        locks_work_over_tls,
        an_untrusted_server_certificate_is_refused;
    user_locks:
        a_release_wakes_a_waiter_before_it_polls,
        a_user_level_lock_wakes_its_waiter_only_after_the_release,
        a_waiter_without_a_user_level_lock_polls_at_its_interval,
        a_waiter_on_a_user_level_lock_polls_rarely,
        a_user_level_lock_is_acquired_again_after_its_session_is_killed,
        all_waiters_of_one_holder_get_the_lock,
        connections_for_user_level_locks_are_few_and_are_closed,
        a_closed_pool_ends_the_wait_for_a_user_level_lock,
        runtimes_that_nothing_drives_delay_no_notification;
}
