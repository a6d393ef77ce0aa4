//! The programs of `verification/examples`, optimized.

use anyhow::Result;
use clap::Args;

use crate::setup;
use crate::workspace::cargo;

/// What is handed on to the program.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Given {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// Runs one of them.
pub(crate) fn run(program: &str, given: &Given) -> Result<()> {
    setup::c_compiler()?;
    let package = ["run", "--release", "--package", "leasehold-verification", "--all-features"];
    let given: Vec<_> = given.arguments.iter().map(String::as_str).collect();
    cargo(&[&package[..], &["--example", program, "--"], &given].concat(), &[])
}
