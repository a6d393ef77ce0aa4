//! This module lists the cases that are specific to Redis and Valkey.

use super::{
    Redis, cluster, cluster_outages, commands, connect_errors, degraded_server, fence, keys,
    replicas, sentinel, tls,
};

specific_cases! {
    Redis;
    connect_errors:
        the_documented_permissions_are_sufficient,
        operations_succeed_without_permission_to_publish,
        a_key_without_permission_costs_no_other_renewal,
        renamed_commands_are_named_in_the_error,
        a_unix_socket_can_be_used,
        a_missing_database_is_named_in_the_error,
        protected_mode_is_named_in_the_error,
        a_replica_is_refused,
        a_server_that_is_not_redis_is_refused;
    keys:
        foreign_keys_are_reported_and_not_changed,
        unknown_fields_are_kept_and_later_versions_are_refused,
        a_record_of_a_free_name_is_stored_compactly,
        a_listing_scans_the_keys_once,
        a_corrupt_instance_record_hides_no_other,
        flushed_scripts_are_loaded_again;
    fence:
        no_script_of_an_older_term_writes_once_the_fence_is_raised,
        a_raise_discards_a_watched_transaction,
        a_fence_with_a_floor_accepts_all_tokens_from_it_on,
        foreign_fence_keys_are_not_overwritten,
        an_error_of_the_script_s_own_code_is_not_the_fence_s,
        a_script_without_its_fence_is_refused;
    commands:
        a_lock_runs_two_scripts_with_few_commands,
        a_renewal_runs_one_script_with_three_commands,
        a_hundred_renewals_share_a_script;
    degraded_server:
        leases_are_kept_when_the_server_is_out_of_memory,
        an_unusable_connection_is_replaced,
        a_slow_server_gets_few_connections,
        a_loading_server_is_unavailable_until_it_has_loaded;
    replicas:
        heartbeats_do_not_wait_behind_grants_that_wait_for_replicas,
        a_disable_does_not_wait_behind_grants,
        connections_that_the_server_closed_are_replaced,
        a_renewal_that_no_replica_confirmed_is_unknown,
        a_disable_that_no_replica_confirmed_is_unknown,
        a_holder_loses_the_lock_when_its_replicas_are_gone,
        a_grant_that_no_replica_confirmed_is_released;
    sentinel:
        the_store_follows_a_sentinel_failover,
        an_old_primary_that_returns_is_not_used,
        a_holder_on_a_partitioned_primary_follows_the_sentinels,
        the_latest_failover_decides_when_sentinels_disagree,
        sentinel_errors_name_their_cause;
    cluster:
        locks_work_in_all_slots_of_a_cluster,
        instances_on_all_nodes_are_listed,
        the_store_follows_a_moved_slot,
        names_of_all_shards_are_pruned;
    cluster_outages:
        a_failed_shard_loses_no_lease_of_another_shard,
        a_store_opens_while_a_shard_has_failed,
        a_hanging_primary_is_left_after_a_promotion,
        the_store_follows_a_cluster_failover;
    tls:
        a_private_certificate_authority_can_be_trusted,
        a_client_certificate_is_presented;
}
