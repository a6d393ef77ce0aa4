//! The suite on the stores of this repository.

mod memory;
mod mysql;
mod sqlite;

use std::process::ExitCode;

use leasehold_conformance::{Suite, servers};

fn main() -> ExitCode {
    let mut suite =
        Suite::new().backend(memory::Memory::default()).backend(sqlite::Sqlite::default());
    if !servers::skipped("mysql") {
        suite = suite.backend_with_cases(mysql::MySql::mysql(), mysql::CASES);
    }
    if !servers::skipped("mariadb") {
        suite = suite.backend_with_cases(mysql::MySql::mariadb(), mysql::CASES);
    }
    suite.main()
}
