//! The suite on the stores of this repository.

mod etcd;
mod memory;
mod mongodb;
mod postgres;
mod sqlite;

use std::process::ExitCode;

use leasehold_conformance::{Suite, servers};

fn main() -> ExitCode {
    let mut suite =
        Suite::new().backend(memory::Memory::default()).backend(sqlite::Sqlite::default());
    if !servers::skipped("postgres") {
        suite = suite.backend_with_cases(postgres::Postgres::default(), postgres::CASES);
    }
    if !servers::skipped("mongodb") {
        suite = suite.backend_with_cases(mongodb::MongoDb::default(), mongodb::OWN);
    }
    suite.main()
}
