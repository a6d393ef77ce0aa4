//! Runs the programs of `verification/examples`, optimized.

use anyhow::Result;
use clap::Args;

use crate::setup;
use crate::workspace::cargo;

/// The arguments for the program.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// Runs one of the programs.
pub(crate) fn run(program: &str, given: &Arguments) -> Result<()> {
    setup::c_compiler()?;
    let package = ["run", "--release", "--package", "leasehold-verification", "--all-features"];
    let given: Vec<_> = given.arguments.iter().map(String::as_str).collect();
    cargo(&[&package[..], &["--example", program, "--"], &given].concat(), &[])
}
