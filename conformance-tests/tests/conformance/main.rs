//! The suite on the stores of this repository.

mod memory;
mod redis;
mod sqlite;

use std::process::ExitCode;

use leasehold_conformance::{Suite, servers};

fn main() -> ExitCode {
    let mut suite =
        Suite::new().backend(memory::Memory::default()).backend(sqlite::Sqlite::default());
    if !servers::skipped("redis") {
        suite = suite.backend_with_cases(redis::Redis::redis(), redis::OWN);
    }
    if !servers::skipped("valkey") {
        suite = suite.backend_with_cases(redis::Redis::valkey(), redis::OWN);
    }
    suite.main()
}
