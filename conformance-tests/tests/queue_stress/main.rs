//! Locks with queues are tested under stress: 16 clients in 4 processes use one name of each kind,
//! while processes are paused for longer than the ttl, killed and started again.
//!
//! Each process reports what it asks of the store and which replies it gets, and when it has trusted
//! a lock. The test then checks the history of all processes (`check.rs`): the capacity, the order,
//! and that no waiter is forgotten.
//!
//! With `LEASEHOLD_TEST_QUEUE_SECONDS`, 64 clients in 16 processes are disturbed for that many
//! seconds, for each kind on each server. A server that is named by a variable must then allow 500
//! connections.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod attempt;
mod check;
mod event;
mod history;
mod recorder;
mod server;
mod stress;
mod worker;
mod worker_process;

use leasehold_test_servers::catalog::{ETCD, MARIADB, MONGODB, MYSQL, POSTGRES, REDIS, VALKEY};

use self::stress::{on_server, on_sqlite};

#[test]
fn queues_keep_their_rule_on_sqlite() {
    on_sqlite();
}

#[test]
fn queues_keep_their_rule_on_postgres() {
    on_server(&POSTGRES);
}

#[test]
fn queues_keep_their_rule_on_mysql() {
    on_server(&MYSQL);
}

#[test]
fn queues_keep_their_rule_on_mariadb() {
    on_server(&MARIADB);
}

#[test]
fn queues_keep_their_rule_on_redis() {
    on_server(&REDIS);
}

#[test]
fn queues_keep_their_rule_on_valkey() {
    on_server(&VALKEY);
}

#[test]
fn queues_keep_their_rule_on_mongodb() {
    on_server(&MONGODB);
}

#[test]
fn queues_keep_their_rule_on_etcd() {
    on_server(&ETCD);
}

/// The other tests start this one as their workers. It does nothing if it is run alone.
#[test]
fn part_of_another_test_that_runs_in_a_process() {
    worker::run();
}
