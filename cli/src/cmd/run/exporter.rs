//! `run --metrics` serves the metrics of this process for Prometheus.

use leasehold_admin::{Exporter, Metrics, Server};

use crate::cmd::http_access;
use crate::io::exit::Failure;
use crate::io::stderr::print_message;
use crate::settings::configuration::CliConfiguration;

/// The name of this metric is also in [`leasehold::telemetry::METRICS`].
const LEADING: &str = "leasehold_leading";

/// Serves metrics for as long as the process runs, if `--metrics` is given. Call this before the
/// first client is created.
pub(super) async fn start(configuration: &CliConfiguration) -> Result<(), Failure> {
    let Some(address) = configuration.metrics else { return Ok(()) };
    let (access, tls) = (http_access::access(configuration)?, http_access::tls(configuration)?);
    let exporter = Exporter::new(Metrics::install()?).access(access);
    if let Some(name) = &configuration.library.lock_name {
        // The series exists from the start, even if the store does not respond, so that an alert on
        // a missing leader can count it.
        metrics::gauge!(LEADING, "lock" => name.to_string()).set(0.0);
    }
    let server = Server::bind(exporter, address, tls).await?;
    print_message(&format!("metrics at {}/metrics", server.url()));
    tokio::spawn(server.run(std::future::pending()));
    Ok(())
}

/// Returns the variable that may have the secret of the metrics: the command must not inherit it.
pub(super) fn secret_variable(configuration: &CliConfiguration) -> Option<String> {
    configuration.metrics.map(|_| http_access::TOKEN.to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_leading_metric_is_in_the_catalog() {
        assert!(leasehold::telemetry::METRICS.iter().any(|metric| metric.name == super::LEADING));
    }
}
