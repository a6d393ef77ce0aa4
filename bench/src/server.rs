//! Starts the servers that are measured.

use std::path::Path;

use anyhow::{Result, bail};
use leasehold::{OpenOptions, url};
use leasehold_test_servers::{Image, Server, catalog, skipped, until_ready};

/// SQLite needs no server.
const SQLITE: &str = "sqlite";

/// A server that runs, and is stopped with this value if it was started here.
pub(crate) struct Target {
    pub(crate) url: String,
    _server: Option<Server>,
}

/// Returns the names of all backends, or of those that are chosen.
pub(crate) fn names(chosen: &[String]) -> Result<Vec<&'static str>> {
    let all = [SQLITE].into_iter().chain(catalog::ALL.iter().map(|image| image.name));
    let all: Vec<_> = all.filter(|name| !skipped(name)).collect();
    if let Some(unknown) = chosen.iter().find(|name| !all.contains(&name.as_str())) {
        bail!("unknown backend \"{unknown}\"; the backends are {}", all.join(", "));
    }
    let is_chosen = |name: &&str| chosen.is_empty() || chosen.iter().any(|it| it == *name);
    Ok(all.into_iter().filter(is_chosen).collect())
}

/// Starts the server of that name, or uses the one that the environment names.
pub(crate) async fn start(name: &'static str, folder: &Path) -> Result<Target> {
    let Some(image) = catalog::ALL.iter().find(|image| image.name == name) else {
        let url = format!("sqlite:{}", folder.join("locks.db").display());
        return Ok(Target { url, _server: None });
    };
    if let Some(url) = image.given_url() {
        return Ok(Target { url, _server: None });
    }
    let server = Server::start_with(image, arguments(name)).await?;
    let url = ready(image, &server).await?;
    Ok(Target { url, _server: Some(server) })
}

/// Returns more arguments for a server, whose default limit of connections is too low for a hundred
/// processes.
fn arguments(name: &str) -> &'static [&'static str] {
    match name {
        "postgres" => &["-c", "max_connections=500"],
        "mysql" | "mariadb" => &["--max-connections=500"],
        _ => &[],
    }
}

async fn ready(image: &Image, server: &Server) -> Result<String> {
    let address = image.url_at(&server.address());
    until_ready(|| async {
        catalog::prepare(image, server).await;
        url::open(&address, &OpenOptions::default()).await
    })
    .await?;
    Ok(address)
}
