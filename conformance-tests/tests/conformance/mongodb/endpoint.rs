//! This module starts a server, and defines its address.

use leasehold_core::{Error, Result};
use leasehold_test_servers::catalog::{self, MONGODB};
use leasehold_test_servers::{Image, Server, until_ready};
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};

use crate::broken::broken;

pub(super) const STANDALONE: Image = Image { command: &["--quiet"], ..MONGODB };

/// This is a server with users. The public image creates the first user from its environment and
/// requires a key file in a replica set, so this server is standalone there.
pub(super) const GUARDED: Image = Image {
    environment: &[
        ("MONGO_INITDB_ROOT_USERNAME", "root"),
        ("MONGO_INITDB_ROOT_PASSWORD", "secret"),
    ],
    command: &["--auth"],
    ..MONGODB
};

/// This is a server and its URL.
pub(super) struct Endpoint {
    url: String,
    address: String,
    database: Database,
    server: Option<Server>,
}

impl Endpoint {
    /// Returns the server that all cases share: the given one or a new one.
    pub(super) async fn shared() -> Result<Self> {
        match MONGODB.given_url() {
            Some(url) => Self::at(url).await,
            None => Self::start(&MONGODB).await,
        }
    }

    /// Returns the endpoint of a server that runs already.
    pub(super) async fn at(url: String) -> Result<Self> {
        let options = ClientOptions::parse(&url).await.map_err(broken)?;
        let address = options.hosts.first().map(ToString::to_string).unwrap_or_default();
        let client = Client::with_options(options).map_err(broken)?;
        let database = client.default_database();
        let database = database.ok_or_else(|| Error::invalid("the URL names no database"))?;
        Ok(Self { url, address, database, server: None })
    }

    /// Starts a server for one case.
    pub(super) async fn start(image: &Image) -> Result<Self> {
        let server = Server::start(image).await?;
        let at = Self::at(image.url_at(&server.address())).await?;
        let endpoint = Self { server: Some(server), ..at };
        until_ready(|| endpoint.prepare(image)).await?;
        Ok(endpoint)
    }

    /// Waits until the server has a primary.
    async fn prepare(&self, image: &Image) -> mongodb::error::Result<()> {
        if let (Some(server), "--replSet") = (&self.server, image.command[0]) {
            catalog::prepare(image, server).await;
        }
        let hello = self.database.run_command(doc! { "hello": 1 }).await?;
        match hello.get_bool("isWritablePrimary") {
            Ok(true) => Ok(()),
            _ => Err(mongodb::error::Error::custom("no primary yet")),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the URL with another address, such as that of a proxy.
    pub(super) fn url_by(&self, address: &str) -> String {
        self.url.replacen(&self.address, address, 1)
    }

    /// Returns the URL for another user of that database.
    pub(super) fn url_as(&self, user: &str, password: &str) -> String {
        self.url.replacen("mongodb://", &format!("mongodb://{user}:{password}@"), 1)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the database for a client with all permissions, which does not use the store.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn server(&self) -> Result<&Server> {
        self.server.as_ref().ok_or_else(|| Error::invalid("this test does not own the server"))
    }

    /// Returns the name and the version of the server.
    pub(super) async fn version(&self) -> Result<String> {
        let info = doc! { "buildInfo": 1 };
        let info: Document = self.database.run_command(info).await.map_err(broken)?;
        let version = info.get_str("version").unwrap_or("of unknown version");
        Ok(match info.get_str("secantusVersion") {
            Ok(secantus) => format!("SecantusDB {secantus} (speaks as MongoDB {version})"),
            Err(_) => format!("MongoDB {version}"),
        })
    }
}
