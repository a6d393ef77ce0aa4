//! This module defines SQL servers as backends of the suite, each in a container or given by URL.

mod dialect;
mod probes;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use leasehold::{OpenOptions, Schema};
use leasehold_conformance::{Backend, Client, Probes};
use leasehold_core::{LockStore, Namespace, Result};
use leasehold_test_servers::{Image, Proxy, Server};
use tokio::sync::Mutex;

use crate::broken::broken;
use crate::proxied_link::ProxiedLink;

pub(crate) use dialect::Dialect;

/// This is a SQL server.
pub(crate) struct SqlBackend<D: Dialect> {
    pub(crate) image: &'static Image,
    running: OnceLock<Running<D>>,
    /// [`Backend::stop`] removes this container. A server given by URL has none.
    pub(crate) container: Mutex<Option<Server>>,
}

struct Running<D: Dialect> {
    url: String,
    admin: D::Pool,
}

pub(crate) fn options(namespace: &Namespace, schema: Schema) -> OpenOptions {
    OpenOptions::default().with_namespace(namespace.clone()).with_schema(schema)
}

impl<D: Dialect> SqlBackend<D> {
    /// Creates the backend of that image.
    pub(crate) fn of(image: &'static Image) -> Self {
        Self { image, running: OnceLock::new(), container: Mutex::new(None) }
    }

    fn running(&self) -> &Running<D> {
        self.running.get().expect("the suite starts a backend before it uses it")
    }

    /// Records the URL of the running server.
    fn set_url(&self, url: String) -> Result<()> {
        let admin = D::pool(&url)?;
        self.running.get_or_init(|| Running { url, admin });
        Ok(())
    }

    pub(crate) fn url(&self) -> &str {
        &self.running().url
    }

    /// Returns the pool for statements of the tests, which has all privileges.
    pub(crate) fn admin(&self) -> &D::Pool {
        &self.running().admin
    }

    /// Returns host and port as they are in the URL.
    pub(crate) fn address(&self) -> String {
        let authority = self.url().split('/').nth(2).unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default().to_owned()
    }

    /// Returns the URL of the same server for another user.
    pub(crate) fn url_of(&self, user: &str) -> String {
        let rest = self.url().rsplit_once('@').map(|(_, rest)| rest).unwrap_or_default();
        format!("{}://{user}:secret@{rest}", D::SCHEME)
    }

    pub(crate) async fn execute(&self, statements: impl Into<String>) -> Result<()> {
        D::execute(self.admin(), statements.into()).await
    }

    /// Opens a client of that namespace by that URL.
    pub(crate) async fn connect(&self, url: &str, namespace: &Namespace) -> Result<Client> {
        let store = D::connect(url, &options(namespace, Schema::Create)).await?;
        Ok(Client::new(Arc::new(store)))
    }

    /// Creates a user that may use the existing tables of that namespace, and nothing else.
    /// Returns the user's URL.
    pub(crate) async fn user_of_table(&self, namespace: &Namespace) -> Result<String> {
        D::create_user(self.admin(), namespace).await?;
        self.execute(format!(
            "GRANT SELECT, INSERT, UPDATE ON {namespace}_locks TO {namespace}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON {namespace}_instances TO {namespace}"
        ))
        .await?;
        Ok(self.url_of(namespace.as_str()))
    }

    /// Opens a store whose connections go through a proxy.
    pub(crate) async fn proxied(&self, namespace: &Namespace) -> Result<ProxiedLink> {
        let address = self.address();
        let proxy = Proxy::start(&address).await.map_err(broken)?;
        let url = self.url().replace(&address, &proxy.address());
        let store = D::connect(&url, &options(namespace, Schema::Create)).await?;
        Ok(ProxiedLink { store: Arc::new(store), proxy })
    }
}

#[async_trait]
impl<D: Dialect> Backend for SqlBackend<D> {
    fn name(&self) -> &str {
        self.image.name
    }

    async fn start(&self) -> Result<()> {
        let given = self.image.given_url();
        let in_container = given.is_none();
        if let Some(url) = given {
            self.set_url(url)?;
        } else {
            let (server, url) = D::start(self.image).await?;
            *self.container.lock().await = Some(server);
            self.set_url(url)?;
        }
        D::prepare(self.admin(), in_container).await
    }

    async fn stop(&self) {
        drop(self.container.lock().await.take());
    }

    async fn server(&self) -> Result<Option<String>> {
        D::version(self.admin()).await.map(Some)
    }

    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let options = options(namespace, Schema::Create);
        Ok(Arc::new(D::connect(self.url(), &options).await?))
    }

    async fn clean(&self, namespace: &Namespace) -> Result<()> {
        self.execute(format!(
            "DROP TABLE IF EXISTS {namespace}_locks, {namespace}_instances; \
             DROP USER IF EXISTS {namespace}"
        ))
        .await
    }

    fn probes(&self) -> Probes<'_> {
        let mut probes = Probes::default()
            .with_other_processes(self)
            .with_delete_record(self)
            .with_round_trips(self)
            .with_schema(self)
            .with_own_pool(self)
            .with_outages(self);
        probes.own_server = self.image.given_url().is_none().then_some(self as _);
        probes
    }
}
