//! This module starts a server, and defines its address.

use std::time::Duration;

use leasehold_core::Result;
use leasehold_test_servers::{Image, Server, until_ready};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo};

use crate::broken::broken;

/// This is a server and its URL.
pub(super) struct Endpoint {
    url: String,
    address: String,
    client: Client,
    /// The server is removed with this value.
    _server: Option<Server>,
}

impl Endpoint {
    const LIMIT: Duration = Duration::from_secs(30);

    /// Returns the server that all cases share: the given one or a new one.
    pub(super) async fn shared(image: &Image) -> Result<Self> {
        match image.given_url() {
            Some(url) => Self::at(url),
            None => Self::start(image, &[]).await,
        }
    }

    /// Returns the endpoint of a server that runs already.
    pub(super) fn at(url: String) -> Result<Self> {
        let info = url.as_str().into_connection_info().map_err(broken)?;
        let address = info.addr().to_string();
        let client = Client::open(info).map_err(broken)?;
        Ok(Self { url, address, client, _server: None })
    }

    /// Starts a server for one case.
    pub(super) async fn start(image: &Image, more: &[&str]) -> Result<Self> {
        let server = Server::start_with(image, more).await?;
        let at = Self::at(image.url_at(&server.address()))?;
        let endpoint = Self { _server: Some(server), ..at };
        endpoint.ready().await?;
        Ok(endpoint)
    }

    /// Waits until the server responds.
    pub(super) async fn ready(&self) -> Result<()> {
        let ask = async || {
            let mut connection = self.client.get_multiplexed_async_connection().await?;
            redis::cmd("PING").query_async::<String>(&mut connection).await
        };
        until_ready(ask).await.map(drop)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the URL with another address, such as that of a proxy.
    pub(super) fn url_by(&self, address: &str) -> String {
        self.url.replacen(&self.address, address, 1)
    }

    /// Returns the URL for that user.
    pub(super) fn url_as(&self, user: &str, password: &str) -> String {
        self.url.replacen("redis://", &format!("redis://{user}:{password}@"), 1)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn connection(&self) -> Result<MultiplexedConnection> {
        // A busy machine may take longer than the driver's own limits.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Self::LIMIT))
            .set_response_timeout(Some(Self::LIMIT));
        self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(broken)
    }

    /// Runs one command with all permissions.
    pub(super) async fn run(&self, words: &[&str]) -> Result<redis::Value> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut self.connection().await?).await.map_err(broken)
    }

    /// Returns the name and the version of the server.
    pub(super) async fn version(&self) -> Result<String> {
        let mut connection = self.connection().await?;
        let info = redis::cmd("INFO").arg("server").query_async::<String>(&mut connection).await;
        let info = info.map_err(broken)?;
        let of = |field: &str| {
            info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
        };
        Ok(match (of("valkey_version"), of("redis_version")) {
            (Some(version), _) => format!("Valkey {version}"),
            (None, version) => format!("Redis {}", version.unwrap_or("of unknown version")),
        })
    }
}
