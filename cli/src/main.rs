//! The command line of Leasehold: run a command on exactly one of many machines, and see and steer
//! its locks. `leasehold --help` is its manual.

mod args;
mod config;
mod control;
mod exit;
mod generate;
mod http;
mod log;
mod output;
mod prune;
mod run;
mod schema;
mod serve;
mod settings;
mod status;
mod store;

use std::process::ExitCode;

use args::{Args, Command};
use exit::Failure;
use leasehold::configuration::Configuration;
use store::StoreChoice;

fn main() -> ExitCode {
    // Before anything else: these two are parts of `run`, started by it in processes of their own.
    if let Some(code) = run::hidden_command(std::env::args_os()) {
        return code;
    }
    ExitCode::from(args::parse().and_then(execute).unwrap_or_else(Failure::report))
}

fn execute(args: Args) -> Result<u8, Failure> {
    match &args.command {
        Command::Completions(args) => return generate::completions(args),
        Command::Man(args) => return generate::man(args),
        _ => {}
    }
    let configuration = settings::load(&args)?;
    log::begin(&configuration)?;
    if let Command::Config(args) = &args.command {
        return config::config(&configuration, args);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(dispatch(args, &configuration));
    // A call to a store that hangs must not keep the process.
    runtime.shutdown_background();
    status
}

async fn dispatch(args: Args, configuration: &Configuration) -> Result<u8, Failure> {
    let store = StoreChoice::new(configuration)?;
    match args.command {
        Command::Run(args) => run::run(&store, configuration, args).await,
        Command::Status(args) => status::status(&store, args).await,
        Command::Disable(args) => control::disable(&store, args).await,
        Command::Enable(args) => control::enable(&store, args).await,
        Command::Resign(args) => control::resign(&store, args).await,
        Command::Prune(args) => prune::prune(&store, args).await,
        Command::Schema(args) => schema::schema(&store, args).await,
        Command::Serve(_) => serve::serve(&store, configuration).await,
        Command::Config(_) | Command::Completions(_) | Command::Man(_) => Ok(0),
    }
}
