//! In a build without the feature `http` this module stands in for `serve` and for the exporter of
//! `run --metrics`: it says which feature adds them.

use crate::io::exit::Failure;
use crate::settings::configuration::CliConfiguration;
use crate::store_choice::StoreChoice;

/// Refuses `leasehold serve`.
pub(crate) async fn serve(_: &StoreChoice, _: &CliConfiguration) -> Result<u8, Failure> {
    Err(not_built("the command serve"))
}

/// Refuses `run --metrics`, wherever the setting comes from.
pub(crate) async fn start(configuration: &CliConfiguration) -> Result<(), Failure> {
    if configuration.metrics.is_none() {
        return Ok(());
    }
    let from = configuration.origin("metrics").map(ToString::to_string).unwrap_or_default();
    Err(not_built(&format!("the exporter of metrics ({from})")))
}

/// Returns `None`: without the exporter no variable has a secret that `run` uses.
pub(crate) fn secret_variable(_: &CliConfiguration) -> Option<String> {
    None
}

fn not_built(what: &str) -> Failure {
    Failure::usage(format!(
        "{what} is not in this build; build leasehold-cli with the feature \"http\", or with its \
         default features"
    ))
}
