//! A fixture is a server on an SQLite store, and instances that campaign on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use leasehold::url::{OpenOptions, open};
use leasehold_admin::{AdminApi, Limits, Server};
use leasehold_conformance::GatedStore;
use leasehold_core::election::{ElectionHandle, Status, job_fn};
use leasehold_core::{Client, LockStore, MemoryStore, Settings};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A fixture is a server, its store, and the gate between the two.
pub(crate) struct Fixture {
    _folder: Option<TempDir>,
    pub(crate) store: Arc<dyn LockStore>,
    /// The gate between the server and the store; while it is shut, calls block.
    pub(crate) gate: GatedStore,
    pub(crate) api: AdminApi,
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|api| api).await
    }

    pub(crate) async fn with(change: impl FnOnce(AdminApi) -> AdminApi) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("locks.db").display());
        let store = open(&url, &OpenOptions::default()).await.unwrap();
        Self::on(store, Some(folder), change).await
    }

    /// Creates a fixture on a store that sends hints.
    pub(crate) async fn with_hints() -> Self {
        Self::on(Arc::new(MemoryStore::new()), None, |api| api).await
    }

    async fn on(
        store: Arc<dyn LockStore>,
        folder: Option<TempDir>,
        change: impl FnOnce(AdminApi) -> AdminApi,
    ) -> Self {
        let gate = GatedStore::new(store.clone());
        let api = AdminApi::new(client(Arc::new(gate.clone()), "ops@console"));
        let api = change(api.limits(Limits::default().writes_per_second(10_000)));
        let mut fixture = Self {
            _folder: folder,
            store,
            gate,
            api,
            address: "127.0.0.1:0".parse().unwrap(),
            stop: CancellationToken::new(),
            task: None,
        };
        fixture.serve().await;
        fixture
    }

    /// Serves on the address, which is a new one the first time.
    pub(crate) async fn serve(&mut self) {
        let server = Server::bind(self.api.clone(), self.address, None).await.unwrap();
        self.address = server.address();
        self.stop = CancellationToken::new();
        self.task = Some(tokio::spawn(server.run(self.stop.clone().cancelled_owned())));
    }

    pub(crate) async fn stop_server(&mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn client(&self, label: &str) -> Client {
        client(self.store.clone(), label)
    }

    /// Starts an instance that campaigns for the lock.
    pub(crate) fn campaign(&self, label: &str, name: &str) -> ElectionHandle {
        campaign(&self.client(label), name)
    }
}

/// This ttl is long enough for heartbeats to renew the lease while a browser keeps the machine
/// busy, and short enough for a test to wait until it expires.
pub(crate) const TTL: Duration = Duration::from_secs(8);

pub(crate) fn client(store: Arc<dyn LockStore>, label: &str) -> Client {
    let settings = Settings::default().ttl(TTL);
    Client::builder(store).label(label).settings(settings).build().unwrap()
}

pub(crate) fn campaign(client: &Client, name: &str) -> ElectionHandle {
    client.election(name).unwrap().spawn(job_fn(async |leadership| {
        leadership.cancelled().await;
        Ok(())
    }))
}

/// Waits until that instance leads.
pub(crate) async fn leads(handle: &ElectionHandle) {
    handle.watch().wait_for(Status::is_leading).await.unwrap();
}

/// Waits until that instance does not lead.
pub(crate) async fn stops(handle: &ElectionHandle) {
    handle.watch().wait_for(|status| !status.is_leading()).await.unwrap();
}
