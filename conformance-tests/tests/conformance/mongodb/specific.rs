//! This module has the cases that are specific to MongoDB.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a case fails by panicking")]

mod damage;
mod filters;
mod instances;
mod outages;
mod rights;
mod settings;
mod support;
mod tls;
mod waiters;

use leasehold_conformance::OwnCase;

use super::backend::MongoDb;

pub(crate) const CASES: &[OwnCase<MongoDb>] = &[
    ("own::users_and_their_rights", |_| Box::pin(rights::users_and_their_rights())),
    ("own::what_is_not_ours_is_left_alone", |this| Box::pin(damage::foreign_collections(this))),
    ("own::a_foreign_document_is_left_alone", |this| Box::pin(damage::a_foreign_document(this))),
    ("own::a_damaged_document_costs_its_own_lock", |this| {
        Box::pin(damage::damaged_documents(this))
    }),
    ("own::a_damaged_instance_hides_no_other", |this| Box::pin(instances::damage(this))),
    ("own::instances_that_are_over_are_removed", |this| Box::pin(instances::removal(this))),
    ("own::tokens_outlive_the_collection", |this| Box::pin(damage::a_dropped_collection(this))),
    ("own::a_standalone_server_is_polled", |_| Box::pin(settings::a_standalone_server())),
    ("own::concerns_of_the_application_do_not_matter", |this| Box::pin(settings::concerns(this))),
    ("own::values_are_no_expressions", |this| Box::pin(settings::values(this))),
    ("own::waiters_do_not_hold_up_heartbeats", |this| Box::pin(waiters::heartbeats(this))),
    ("own::a_name_that_was_refused_is_read_first", |this| Box::pin(waiters::reads(this))),
    ("own::a_lease_is_found_by_its_name_alone", |this| Box::pin(filters::by_name(this))),
    ("own::a_grant_is_not_reported_from_a_read", |this| Box::pin(waiters::own_grant(this))),
    ("own::connections_that_become_silent_cost_no_lease", |this| {
        Box::pin(waiters::silent_connections(this))
    }),
    ("own::connections_are_few_and_given_back", |this| Box::pin(waiters::few_connections(this))),
    ("own::a_record_of_a_later_version_is_left_alone", |this| Box::pin(damage::versions(this))),
    ("own::what_is_no_name_hides_no_name", |this| Box::pin(damage::no_names(this))),
    ("own::what_is_no_mongodb_is_said_so", |_| Box::pin(outages::no_mongodb())),
    ("own::a_lock_is_had_over_tls", |_| Box::pin(tls::a_lock_is_had_over_tls())),
];
