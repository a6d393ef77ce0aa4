//! This module defines the differences between SQL servers.

use async_trait::async_trait;
use leasehold::OpenOptions;
use leasehold_core::{LockName, LockStore, Namespace, Result};
use leasehold_test_servers::{Image, Server};

/// A dialect is a kind of SQL server: its store, its driver's pool and its statements.
#[async_trait]
pub(crate) trait Dialect: Send + Sync + Sized + 'static {
    type Pool: Clone + Send + Sync + 'static;
    type Store: LockStore;

    /// The scheme of the server's URLs.
    const SCHEME: &'static str;

    /// Starts a server in a container, and returns it with its URL.
    async fn start(image: &'static Image) -> Result<(Server, String)>;

    /// Sets up a server; `in_container` states whether it was started here or given by URL.
    async fn prepare(pool: &Self::Pool, in_container: bool) -> Result<()>;

    /// Returns the server's product and version.
    async fn version(pool: &Self::Pool) -> Result<String>;

    /// Returns a pool for a test's own statements. It opens connections when they are needed.
    fn pool(url: &str) -> Result<Self::Pool>;

    /// Opens the pool of an application, of two connections at most.
    async fn application_pool(url: &str) -> Result<Self::Pool>;

    /// Runs `SELECT 1` as an application would.
    async fn select_one(pool: &Self::Pool) -> Result<()>;

    /// Runs statements that return nothing.
    async fn execute(pool: &Self::Pool, statements: String) -> Result<()>;

    /// Deletes the row of a lock.
    async fn delete_row(pool: &Self::Pool, namespace: &Namespace, name: &LockName) -> Result<()>;

    /// Creates a user with the password `secret` and without privileges. A user of that name is
    /// dropped first.
    async fn create_user(pool: &Self::Pool, user: &Namespace) -> Result<()>;

    /// Returns how many statements that user has sent, without those that no call waits for.
    async fn count_statements(pool: &Self::Pool, user: &Namespace) -> Result<u64>;

    /// Opens a store with a URL.
    async fn connect(url: &str, options: &OpenOptions) -> Result<Self::Store>;

    /// Opens a store on the application's pool.
    async fn on_pool(pool: Self::Pool, options: &OpenOptions) -> Result<Self::Store>;

    /// Returns the store's schema.
    fn schema(namespace: &Namespace) -> Result<String>;
}
