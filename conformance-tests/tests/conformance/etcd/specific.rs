//! This module lists the cases that are specific to etcd.

use super::{
    Etcd, connect_errors, connections, fence, instances, kept_leases, members, queues, records, tls,
};

specific_cases! {
    Etcd;
    connect_errors:
        users_need_the_password_and_permission_for_the_prefix,
        a_server_that_is_not_etcd_is_refused;
    records:
        foreign_and_corrupt_keys_are_not_overwritten,
        a_record_of_a_later_version_is_reported_as_corrupt,
        long_keys_of_other_names_fail_no_renewal,
        keys_that_are_not_names_hide_no_name,
        a_grant_without_a_time_counts_as_old;
    queues:
        a_corrupt_entry_is_reported_and_concerns_only_its_own_name,
        a_list_has_whole_queues_on_every_page,
        an_entry_whose_etcd_lease_ends_wakes_those_that_hold_the_lock_then,
        each_entry_has_an_etcd_lease_of_its_own,
        a_name_with_the_lease_of_an_earlier_version_gets_no_entry;
    fence:
        no_transaction_of_an_older_term_commits_once_the_fence_is_raised,
        a_write_is_conditional_on_the_grant_itself,
        a_fence_with_a_floor_accepts_all_tokens_from_it_on,
        foreign_fence_keys_are_not_overwritten;
    members:
        a_partitioned_member_fails_no_call,
        a_frozen_leader_fails_no_call,
        keep_alives_go_to_the_leader,
        a_killed_leader_loses_no_lease;
    instances:
        a_corrupt_instance_record_hides_no_other,
        an_instance_has_one_etcd_lease_and_leaks_none,
        long_instance_records_are_all_listed;
    connections:
        silent_connections_lose_no_lease,
        keep_alives_share_a_few_streams,
        a_watch_survives_a_compaction;
    kept_leases:
        one_etcd_lease_serves_lock_after_lock,
        refused_attempts_share_one_etcd_lease,
        a_kept_etcd_lease_is_extended_when_it_is_used,
        a_kept_etcd_lease_that_was_revoked_is_replaced,
        kept_etcd_leases_end_with_their_store,
        an_etcd_lease_of_another_store_is_not_kept,
        an_etcd_lease_of_an_unknown_attempt_is_not_kept;
    tls:
        locks_work_over_tls,
        a_client_certificate_is_presented;
}
