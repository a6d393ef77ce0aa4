//! This module lists the cases that are specific to MySQL and MariaDB.

use leasehold_conformance::OwnCase;

use super::{
    MySql, calls, connect_errors, damage, databases, fence, found_rows_flag, rows, schema,
    session_loss, switch_over, tls, user_locks,
};

macro_rules! cases {
    ($($module:ident: $($case:ident),+;)+) => {
        /// These are the cases, each with its name.
        pub(crate) const CASES: &[OwnCase<MySql>] = &[
            $($((
                concat!("own::", stringify!($case)),
                |backend| Box::pin($module::$case(backend)),
            )),+),+
        ];
    };
}

cases! {
    connect_errors:
        a_wrong_password_is_denied_and_not_shown,
        a_missing_database_is_named,
        a_missing_table_is_not_created_when_it_is_required,
        a_user_who_may_not_create_is_told_so,
        a_user_who_may_only_read_is_told_so,
        a_server_that_accepts_no_writes_is_refused,
        a_foreign_table_is_left_alone,
        what_is_no_mysql_server_is_named,
        a_server_is_reached_over_its_socket_and_over_ipv6;
    rows:
        a_damaged_row_costs_only_its_own_name,
        a_wait_revives_no_lease,
        batches_in_opposite_orders_do_not_fail,
        settings_of_the_session_do_no_harm;
    databases:
        connections_to_other_databases_grant_a_name_once;
    schema:
        a_table_without_a_version_is_of_the_first_schema,
        a_later_schema_is_refused;
    fence:
        the_write_of_an_overtaken_holder_does_not_take_place;
    found_rows_flag:
        answers_do_not_depend_on_how_rows_are_counted;
    session_loss:
        a_killed_session_is_replaced,
        a_watch_that_nobody_reads_does_no_harm,
        a_closed_pool_ends_the_watch;
    calls:
        calls_that_are_given_up_do_not_fill_the_server,
        calls_that_wait_for_a_connection_do_not_fill_the_server,
        abandoned_calls_do_not_count_after_an_outage,
        a_grant_whose_answer_is_lost_keeps_its_token,
        heartbeats_do_not_wait_behind_the_applications_statements,
        sessions_that_end_while_idle_cost_no_call,
        connections_are_few_and_given_back;
    switch_over:
        after_a_switch_over_the_next_call_follows_the_address;
    damage:
        a_damaged_row_hides_no_other_name,
        a_damaged_row_is_not_pruned;
    tls:
        a_lock_is_had_over_tls,
        a_server_that_is_not_to_be_trusted_is_refused;
    user_locks:
        a_release_wakes_a_waiter_long_before_it_polls,
        a_bell_rings_after_the_release_and_not_before,
        without_a_bell_nobody_asks_all_the_time,
        a_waiter_whom_a_bell_will_wake_asks_rarely,
        a_bell_whose_session_is_killed_is_hung_again,
        many_waiters_of_one_holder_all_come_through,
        connections_for_bells_are_few_and_go_away;
}
