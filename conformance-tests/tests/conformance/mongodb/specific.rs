//! This module has the cases that are specific to MongoDB.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a case fails by panicking")]

mod damage;
mod fence;
mod filters;
mod instances;
mod outages;
mod queues;
mod rights;
mod settings;
mod support;
mod tls;
mod waiters;

use super::backend::MongoDb;

specific_cases! {
    MongoDb;
    rights:
        the_documented_permissions_are_sufficient;
    damage:
        foreign_collections_are_refused_and_not_changed,
        foreign_documents_are_reported_and_not_changed,
        a_corrupt_document_affects_only_its_own_lock,
        tokens_increase_after_the_collection_is_dropped,
        records_of_a_later_version_are_not_changed,
        documents_that_are_not_names_hide_no_name;
    fence:
        a_raise_waits_for_an_older_transaction,
        a_raise_that_waits_refuses_older_checks,
        a_check_outside_a_transaction_is_refused,
        the_driver_repeats_a_transaction_whose_check_conflicts,
        a_single_document_refuses_an_older_term,
        foreign_fence_documents_are_not_overwritten;
    instances:
        a_corrupt_instance_record_hides_no_other,
        expired_instances_are_removed;
    queues:
        a_command_that_waited_revives_no_entry,
        a_corrupt_queue_affects_only_its_own_name,
        an_earlier_queue_of_the_document_has_no_effect,
        a_change_stream_names_the_entries_that_hold_the_lock,
        a_polling_watch_names_the_entries_that_hold_the_lock,
        values_of_entries_are_not_evaluated;
    settings:
        a_standalone_server_is_polled,
        read_and_write_concerns_of_the_application_are_not_used,
        values_are_not_evaluated_as_expressions;
    waiters:
        waiters_do_not_delay_heartbeats,
        a_retry_of_a_refused_name_reads_first,
        a_grant_is_not_reported_from_a_read,
        silent_connections_lose_no_lease,
        connections_are_bounded_and_closed_when_idle;
    filters:
        documents_are_found_by_their_names_alone;
    outages:
        a_server_that_is_not_mongodb_is_refused;
    tls:
        locks_work_over_tls;
}
