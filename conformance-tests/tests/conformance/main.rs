//! The suite on the stores of this repository.

mod memory;
mod sqlite;

use std::process::ExitCode;

use leasehold_conformance::Suite;

fn main() -> ExitCode {
    Suite::new().backend(memory::Memory::default()).backend(sqlite::Sqlite::default()).main()
}
