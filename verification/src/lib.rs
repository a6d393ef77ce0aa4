//! This crate verifies Leasehold's engine: the code that ships runs under a model checker and in a
//! simulation, and checkers check the histories.

pub mod checkers;
pub mod explored;
pub mod fence_model;
pub mod history;
pub mod model;
pub mod queue_model;
pub mod simulation;
pub mod soak;

use std::fs::OpenOptions;
use std::io::Write;

/// Prints a figure, and appends it to the file in which a larger run collects such figures.
pub fn export_figure(line: &str) {
    println!("{line}");
    let Some(file) = std::env::var_os("LEASEHOLD_TEST_COUNTS") else { return };
    let file = OpenOptions::new().append(true).create(true).open(file);
    if let Err(error) = file.and_then(|mut file| writeln!(file, "{line}")) {
        eprintln!("cannot write the figure: {error}");
    }
}
