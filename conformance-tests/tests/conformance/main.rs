//! The suite on the stores of this repository.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod etcd;
mod memory;
mod mongodb;
mod postgres;
mod sqlite;

use std::process::ExitCode;

use leasehold_conformance::Suite;
use leasehold_conformance::servers::skipped;

fn main() -> ExitCode {
    let mut suite =
        Suite::new().backend(memory::Memory::default()).backend(sqlite::Sqlite::default());
    if !skipped("postgres") {
        suite = suite.backend_with_cases(postgres::Postgres::default(), postgres::CASES);
    }
    if !skipped("mongodb") {
        suite = suite.backend_with_cases(mongodb::MongoDb::default(), mongodb::OWN);
    }
    if !skipped("etcd") {
        suite = suite.backend_with_cases(etcd::Etcd::default(), etcd::OWN_CASES);
    }
    suite.main()
}
