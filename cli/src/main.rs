//! The command line of Leasehold: run a command on exactly one of many machines, and see and steer
//! its locks. `leasehold --help` is its manual.

mod args;
mod control;
mod exit;
mod output;
mod run;
mod schema;
mod serve;
mod status;
mod store;

use std::process::ExitCode;

use args::{Args, Command};
use exit::Failure;
use store::StoreChoice;

fn main() -> ExitCode {
    // Before anything else: these two are parts of `run`, started by it in processes of their own.
    if let Some(code) = run::hidden_command(std::env::args_os()) {
        return code;
    }
    let status = args::parse().and_then(|args| {
        log();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let status = runtime.block_on(dispatch(args));
        // A call to a store that hangs must not keep the process.
        runtime.shutdown_background();
        status
    });
    ExitCode::from(status.unwrap_or_else(Failure::report))
}

async fn dispatch(args: Args) -> Result<u8, Failure> {
    let store = StoreChoice::new(args.store, args.namespace.as_deref())?;
    match args.command {
        Command::Run(args) => run::run(&store, args).await,
        Command::Status(args) => status::status(&store, args).await,
        Command::Disable(args) => control::disable(&store, args).await,
        Command::Enable(args) => control::enable(&store, args).await,
        Command::Schema(args) => schema::schema(&store, args).await,
        Command::Serve(args) => serve::serve(&store, args).await,
    }
}

/// The engine's log goes to standard error, filtered by `LEASEHOLD_LOG`.
fn log() {
    use tracing_subscriber::EnvFilter;
    // Of the engine only what nobody may miss: `run` tells in its own words when a store fails.
    let default = "warn,leasehold_core=error,leasehold::sqlite=error";
    let filter = std::env::var("LEASEHOLD_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::new(filter.as_deref().unwrap_or(default));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .init();
}
