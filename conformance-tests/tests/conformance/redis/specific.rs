//! This module lists the cases that are specific to Redis and Valkey.

use leasehold_conformance::OwnCase;

use super::{
    Redis, cluster, cluster_outages, commands, connect_errors, degraded_server, keys, replicas,
    sentinel, tls,
};

macro_rules! cases {
    ($($module:ident: $($case:ident),+;)+) => {
        /// These are the cases, each with its name.
        pub(crate) const CASES: &[OwnCase<Redis>] = &[
            $($((
                concat!("own::", stringify!($case)),
                |backend| Box::pin($module::$case(backend)),
            )),+),+
        ];
    };
}

cases! {
    connect_errors:
        users_have_the_rights_that_the_page_lists,
        without_the_right_to_publish_operations_succeed,
        renamed_commands_are_named,
        a_unix_socket_is_connected_to,
        a_database_that_there_is_not_is_named,
        protected_mode_is_named,
        a_replica_is_refused,
        what_is_no_redis_server_is_named;
    keys:
        what_is_not_ours_is_left_alone,
        unknown_fields_are_kept_and_later_versions_are_refused,
        a_record_of_a_free_name_is_stored_compactly,
        a_listing_scans_the_keys_once,
        a_damaged_instance_hides_no_other,
        forgotten_scripts_come_back;
    commands:
        a_lock_runs_two_scripts_with_few_commands,
        a_renewal_runs_one_script_with_three_commands;
    degraded_server:
        without_memory_leases_are_kept,
        a_connection_that_is_of_no_use_is_left,
        a_slow_server_is_asked_on_few_connections,
        a_server_that_loads_is_waited_for;
    replicas:
        a_grant_waits_for_replicas_and_heartbeats_have_their_own_connections,
        a_disable_does_not_wait_for_grants,
        connections_that_the_server_closed_are_left,
        a_renewal_that_no_replica_has_is_unknown,
        a_disable_that_no_replica_has_is_unknown,
        a_holder_whose_replicas_are_gone_loses_the_lock,
        without_replicas_a_grant_is_given_back;
    sentinel:
        a_failover_by_sentinels_is_survived,
        an_old_primary_that_comes_back_is_left,
        a_holder_at_a_primary_that_is_cut_off_follows_the_sentinels,
        of_sentinels_that_disagree_the_latest_failover_counts,
        what_is_wrong_with_sentinels_is_named;
    cluster:
        a_cluster_serves_all_slots,
        instances_are_known_of_all_nodes,
        a_slot_that_moves_is_followed,
        names_of_all_shards_are_pruned;
    cluster_outages:
        a_shard_that_hangs_or_is_gone_costs_no_other_its_leases,
        a_store_opens_while_a_shard_hangs_or_is_gone,
        a_primary_that_hangs_is_left_once_another_is_promoted,
        a_failover_in_a_cluster_is_survived;
    tls:
        a_private_authority_is_trusted,
        clients_have_certificates;
}
