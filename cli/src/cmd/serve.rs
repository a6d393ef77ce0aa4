//! `leasehold serve` serves the HTTP control API.

use leasehold::{Client, Holder};
use leasehold_admin::{AdminApi, Limits, Metrics, Server};
use tokio::signal::unix::{SignalKind, signal};

use crate::cmd::http_access;
use crate::io::exit::Failure;
use crate::io::stdout::print;
use crate::settings::configuration::{CliConfiguration, Serve};
use crate::store_choice::StoreChoice;

pub(crate) async fn serve(
    choice: &StoreChoice,
    configuration: &CliConfiguration,
) -> Result<u8, Failure> {
    let settings = &configuration.serve;
    let (access, tls) = (http_access::access(configuration)?, http_access::tls(configuration)?);
    let limits = limits(settings);
    // The handlers are installed before the first line is printed, because its reader may end this
    // process at once.
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // A disabled lock names the server as the operator, not the instance whose label is configured.
    let label = match settings.listen {
        // The chosen port is not known yet.
        address if address.port() == 0 => "leasehold serve".to_owned(),
        address => format!("leasehold serve {address}"),
    };
    // The recorder is installed before the client, whose metrics are looked up when it is created.
    let metrics = Metrics::install()?;
    let client = Client::builder(choice.open().await?)
        .holder(Holder::current().with_label(label))
        .build()?;
    let api = AdminApi::new(client).access(access).limits(limits).metrics(metrics);
    let server = Server::bind(api, settings.listen, tls).await?;
    print(&format!("listening on {}\n", server.url()))?;
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server.run(shutdown).await;
    Ok(0)
}

fn limits(settings: &Serve) -> Limits {
    Limits::default()
        .reads_per_second(settings.max_reads)
        .writes_per_second(settings.max_writes)
        .connections(usize::try_from(settings.max_connections).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_defaults_match_the_library() {
        let (ours, theirs) = (Serve::default(), Limits::default());
        assert_eq!(ours.max_reads, theirs.reads_per_second);
        assert_eq!(ours.max_writes, theirs.writes_per_second);
        assert_eq!(limits(&ours).connections, theirs.connections);
    }
}
