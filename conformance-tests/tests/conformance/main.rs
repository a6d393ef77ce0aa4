//! The suite on the stores of this repository.

mod memory;
mod mongodb;
mod sqlite;

use std::process::ExitCode;

use leasehold_conformance::{Suite, servers};

fn main() -> ExitCode {
    let mut suite =
        Suite::new().backend(memory::Memory::default()).backend(sqlite::Sqlite::default());
    if !servers::skipped("mongodb") {
        suite = suite.backend_with_cases(mongodb::MongoDb::default(), mongodb::OWN);
    }
    suite.main()
}
