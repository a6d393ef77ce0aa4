//! This module lists the cases that are specific to PostgreSQL.

use leasehold_conformance::OwnCase;

use super::{
    Postgres, addresses, calls, connect_errors, damage, failover, heartbeats, notifications,
    old_pooler, pooler, rows, schemas, session_loss, sessions, switch_over, tls,
};

macro_rules! cases {
    ($($module:ident: $($case:ident),+;)+) => {
        /// These are the cases, each with its name.
        pub(crate) const CASES: &[OwnCase<Postgres>] = &[
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
        a_session_without_writes_is_refused,
        a_foreign_table_is_left_alone,
        another_encoding_is_refused,
        the_search_path_says_where_the_table_is,
        what_is_no_postgres_server_is_named;
    rows:
        a_damaged_row_costs_only_its_own_name,
        a_wait_that_is_rolled_back_revives_no_lease,
        a_grant_counts_from_when_it_was_made,
        batches_in_opposite_orders_do_not_wait_for_each_other,
        other_isolation_levels_do_no_harm,
        a_name_that_is_held_is_asked_for_without_a_write,
        a_lease_told_to_end_is_so_even_if_the_clock_goes_back,
        tokens_grow_though_the_clock_went_back,
        a_disable_in_the_same_instant_wins,
        forgotten_statements_are_prepared_again,
        a_missing_table_is_reported_and_its_return_noticed;
    session_loss:
        a_terminated_session_is_replaced,
        a_watch_that_nobody_reads_does_no_harm,
        a_closed_pool_ends_the_watch;
    failover:
        tokens_grow_though_a_failover_lost_the_last_grant,
        a_standby_is_told_from_a_primary;
    tls:
        a_lock_is_had_over_tls,
        clients_have_certificates,
        a_server_that_is_not_to_be_trusted_is_refused;
    calls:
        calls_that_are_given_up_do_not_fill_the_server,
        calls_that_wait_for_a_connection_do_not_fill_the_server,
        abandoned_calls_do_not_count_after_an_outage;
    heartbeats:
        heartbeats_use_the_pool_while_their_own_connection_does_not_serve,
        heartbeats_do_not_wait_behind_the_applications_statements,
        heartbeats_survive_the_runtime_that_opened_their_connection;
    sessions:
        sessions_that_end_while_idle_cost_no_call,
        connections_are_few_and_given_back;
    switch_over:
        after_a_switch_over_the_next_call_follows_the_address;
    damage:
        a_damaged_row_hides_no_other_name,
        a_damaged_row_is_not_pruned;
    pooler:
        a_pooler_of_transactions_serves,
        opening_runs_no_statement_of_other_clients,
        a_watch_through_a_pooler_listens_on_no_shared_session,
        one_query_of_a_pooled_watch_serves_all_waiters,
        queries_of_a_pooled_watch_do_not_fill_the_server,
        a_pooler_that_mixes_up_statements_is_refused,
        a_pool_without_statements_is_refused_behind_a_pooler,
        a_pooler_of_sessions_passes_notifications;
    old_pooler:
        a_pooler_that_refuses_settings_of_the_session_serves;
    notifications:
        a_full_queue_of_notifications_stops_no_change,
        a_user_who_may_not_notify_can_release,
        the_listener_uses_the_password_of_the_pool;
    schemas:
        connections_with_other_search_paths_grant_a_name_once,
        tables_say_which_version_of_the_schema_they_have,
        a_newer_version_of_the_schema_is_refused;
    addresses:
        an_address_of_ipv6_serves,
        a_unix_socket_serves;
}
