//! Leasehold as a lock library: its public API, with default settings.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use leasehold::etcd::EtcdStore;
use leasehold::mongodb::MongoStore;
use leasehold::mysql::MySqlStore;
use leasehold::postgres::PostgresStore;
use leasehold::redis::RedisStore;
use leasehold::sqlite::SqliteStore;
use leasehold::{Client, LockStore, Namespace, OpenOptions};
use sqlx::mysql::MySqlPool;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};

use crate::contender::{LockLibrary, Release};
use crate::counting_store::CountingStore;
use crate::url::{rest, scheme};

/// The client on a store that was opened by its URL has this name in the report.
pub(crate) const LEASEHOLD: &str = "Leasehold";

/// The client on the application's own pool or client has this name in the report.
pub(crate) const OWN_POOL: &str = "Leasehold, own pool";

/// The client whose locks are fair has this name in the report.
pub(crate) const FAIR: &str = "Leasehold, fair lock";

/// All tables and keys of the measurements begin with this.
pub(crate) const NAMESPACE: &str = "leasehold_bench";

/// No measurement waits this long for a lock.
const WAIT_LIMIT: Duration = Duration::from_secs(600);

pub(crate) struct LeaseholdClient {
    name: &'static str,
    client: Client,
    /// The locks are held in the order of arrival.
    fair: bool,
}

impl LeaseholdClient {
    /// Opens the store by its URL.
    pub(crate) async fn by_url(url: &str) -> Result<Self> {
        let client = Client::builder(store(url).await?).build()?;
        Ok(Self { name: LEASEHOLD, client, fair: false })
    }

    /// Opens the store by its URL, and counts the calls to it.
    pub(crate) async fn counted(url: &str) -> Result<(Self, Arc<CountingStore>)> {
        let store = Arc::new(CountingStore::new(store(url).await?));
        let client = Client::builder(store.clone()).build()?;
        Ok((Self { name: LEASEHOLD, client, fair: false }, store))
    }

    /// Opens the store on a pool or client as an application has one, with its defaults.
    pub(crate) async fn on_own_pool(url: &str) -> Result<Self> {
        let options = options()?;
        let store: Arc<dyn LockStore> = match scheme(url) {
            "sqlite" => {
                let pool = SqlitePool::connect_with(sqlite_options(url)).await?;
                Arc::new(SqliteStore::from_pool(pool, &options).await?)
            }
            "postgres" => {
                let pool = PgPool::connect(url).await?;
                Arc::new(PostgresStore::from_pool(pool, &options).await?)
            }
            "mysql" => {
                let pool = MySqlPool::connect(url).await?;
                Arc::new(MySqlStore::from_pool(pool, &options).await?)
            }
            "redis" => {
                let client = redis::Client::open(url)?;
                Arc::new(RedisStore::from_client(client, &options).await?)
            }
            "mongodb" => {
                let client = mongodb::Client::with_uri_str(url).await?;
                let database = client.default_database().context("the URL names no database")?;
                Arc::new(MongoStore::from_database(database, &options).await?)
            }
            _ => {
                let client = etcd_client::Client::connect([rest(url)], None).await?;
                Arc::new(EtcdStore::from_client(client, &options).await?)
            }
        };
        Ok(Self { name: OWN_POOL, client: Client::builder(store).build()?, fair: false })
    }

    /// Returns this client as one whose locks are fair. Their names are not those of other locks, so
    /// that the records of these stay as they are.
    pub(crate) fn fair(self) -> Self {
        Self { name: FAIR, fair: true, ..self }
    }

    /// Returns the client.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

#[async_trait]
impl LockLibrary for LeaseholdClient {
    fn name(&self) -> &str {
        self.name
    }

    async fn acquire(&self, lock: &str) -> Result<Release> {
        let guard = match self.fair {
            true => self.client.fair_lock(format!("fair-{lock}"))?.acquire(WAIT_LIMIT).await?,
            false => self.client.lock(lock)?.acquire(WAIT_LIMIT).await?,
        };
        Ok(Box::pin(async move { Ok(guard.release().await?) }))
    }
}

/// Opens the store by its URL, in the namespace of the measurements.
pub(crate) async fn store(url: &str) -> Result<Arc<dyn LockStore>> {
    Ok(leasehold::url::open(url, &options()?).await?)
}

fn options() -> Result<OpenOptions> {
    Ok(OpenOptions::default().with_namespace(Namespace::new(NAMESPACE)?))
}

/// Returns the options of a connection with the durability that Leasehold's own connections have.
pub(crate) fn sqlite_options(url: &str) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(rest(url))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(5))
}
