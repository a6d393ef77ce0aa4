//! This is the command line of Leasehold: it runs a command on exactly one of many machines, and
//! shows and controls locks. `leasehold --help` describes it.

mod args;
mod cmd;
mod help;
mod io;
mod options;
mod settings;
mod store_choice;

use std::process::ExitCode;

use args::{Args, Command};
use cmd::{completions, config, man, run};
use io::exit::Failure;
use io::log;

fn main() -> ExitCode {
    // This check comes first: `run` starts these two commands in their own processes.
    if let Some(code) = run::hidden_command(std::env::args_os()) {
        return code;
    }
    ExitCode::from(args::parse().and_then(execute).unwrap_or_else(Failure::report))
}

fn execute(args: Args) -> Result<u8, Failure> {
    match &args.command {
        Command::Completions(args) => return completions::completions(args),
        Command::Man(args) => return man::man(args),
        _ => {}
    }
    let configuration = settings::load(&args)?;
    log::begin(&configuration)?;
    if let Command::Config(args) = &args.command {
        return config::config(&configuration, args);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(cmd::dispatch(args, &configuration));
    // A call to a store that hangs must not keep the process running.
    runtime.shutdown_background();
    status
}
