//! Each command is in the module of its name.

pub(crate) mod completions;
pub(crate) mod config;
mod disable;
mod enable;
#[cfg(feature = "http")]
mod http_access;
pub(crate) mod man;
mod operator;
mod prune;
mod resign;
pub(crate) mod run;
mod schema;
#[cfg(feature = "http")]
mod serve;
mod status;
#[cfg(not(feature = "http"))]
mod without_http;

use crate::args::{Args, Command};
use crate::io::exit::Failure;
use crate::settings::configuration::CliConfiguration;
use crate::store_choice::StoreChoice;
#[cfg(not(feature = "http"))]
use without_http as serve;

/// Runs a command that uses a store, and returns the exit status.
pub(crate) async fn dispatch(args: Args, configuration: &CliConfiguration) -> Result<u8, Failure> {
    let store = StoreChoice::new(&configuration.library)?;
    match args.command {
        Command::Run(args) => run::run(&store, configuration, args).await,
        Command::Status(args) => status::status(&store, args).await,
        Command::Disable(args) => disable::disable(&store, args).await,
        Command::Enable(args) => enable::enable(&store, args).await,
        Command::Resign(args) => resign::resign(&store, args).await,
        Command::Prune(args) => prune::prune(&store, args).await,
        Command::Schema(args) => schema::schema(&store, configuration, args).await,
        Command::Serve(_) => serve::serve(&store, configuration).await,
        Command::Config(_) | Command::Completions(_) | Command::Man(_) => Ok(0),
    }
}
