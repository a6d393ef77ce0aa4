//! The fence is tested under stress: writer processes are paused, killed and slow, while the term
//! changes. Once `raise` has returned for a term, no transaction of an older one may commit.
//!
//! `LEASEHOLD_TEST_FENCE_TERMS` is the number of changes of term on each server, and the number of
//! transactions that each term commits at least. 100 of each take some minutes per server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod data;
mod stress;
mod writer;
mod writer_process;

use leasehold_fence::{FencingToken, LockName, Term};
use leasehold_test_servers::catalog::{ETCD, MARIADB, MONGODB, MYSQL, POSTGRES, REDIS, VALKEY};

use self::data::{Etcd, MongoDb, MySql, Postgres, Redis};
use self::stress::{behind_pgbouncer, on_server, on_sqlite};

fn term(token: u64) -> Term {
    Term::new(&LockName::new("ledger").unwrap(), FencingToken::new(token).unwrap())
}

#[test]
fn no_older_transaction_commits_on_postgres() {
    on_server::<Postgres>(&POSTGRES);
}

#[test]
fn no_older_transaction_commits_behind_pgbouncer() {
    behind_pgbouncer();
}

#[test]
fn no_older_transaction_commits_on_mysql() {
    on_server::<MySql>(&MYSQL);
}

#[test]
fn no_older_transaction_commits_on_mariadb() {
    on_server::<MySql>(&MARIADB);
}

#[test]
fn no_older_transaction_commits_on_sqlite() {
    on_sqlite();
}

#[test]
fn no_older_transaction_commits_on_redis() {
    on_server::<Redis>(&REDIS);
}

#[test]
fn no_older_transaction_commits_on_valkey() {
    on_server::<Redis>(&VALKEY);
}

#[test]
fn no_older_transaction_commits_on_mongodb() {
    on_server::<MongoDb>(&MONGODB);
}

#[test]
fn no_older_transaction_commits_on_etcd() {
    on_server::<Etcd>(&ETCD);
}

/// The other tests start this one as their writers. It does nothing if it is run alone.
#[test]
fn part_of_another_test_that_runs_in_a_process() {
    writer::run();
}
