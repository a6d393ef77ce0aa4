//! This module has the backend itself and its probes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use leasehold::sqlite::SqliteStore;
use leasehold::{OpenOptions, Schema as OnMissing};
use leasehold_conformance::{
    Backend, DeleteRecord, OtherProcesses, OwnPool, Pooled, Probes, RoundTrips, Schema,
};
use leasehold_core::{LockName, LockStore, Namespace, Result};
use parking_lot::Mutex;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tempfile::TempDir;

use crate::broken::broken;

/// This is a folder of databases.
#[derive(Default)]
pub(crate) struct Sqlite {
    folder: OnceLock<Folder>,
    commits: Mutex<HashMap<Namespace, Arc<AtomicU64>>>,
}

enum Folder {
    /// The folder belongs to this process, and is removed with this value.
    Own(TempDir),
    OfAnotherProcess(PathBuf),
}

impl Sqlite {
    fn commits(&self, namespace: &Namespace) -> Arc<AtomicU64> {
        let mut commits = self.commits.lock();
        commits.entry(namespace.clone()).or_default().clone()
    }

    fn folder(&self) -> &Path {
        match self.folder.get() {
            Some(Folder::Own(folder)) => folder.path(),
            Some(Folder::OfAnotherProcess(folder)) => folder,
            None => panic!("the suite starts a backend before it uses it"),
        }
    }

    /// Returns the file of a case, which all its namespaces share. Cases that wait for each other's
    /// writes would be slow and would prove nothing.
    fn file(&self, namespace: &Namespace) -> PathBuf {
        let case: String = namespace.as_str().chars().take(21).collect();
        self.folder().join(format!("{case}.db"))
    }

    /// Returns a connection pool as an application has one.
    async fn pool(&self, namespace: &Namespace) -> Result<SqlitePool> {
        let file = SqliteConnectOptions::new().filename(self.file(namespace));
        let pool = SqlitePoolOptions::new().max_connections(2);
        pool.connect_with(file.create_if_missing(true)).await.map_err(broken)
    }

    async fn execute(&self, namespace: &Namespace, sql: String) -> Result<()> {
        let pool = self.pool(namespace).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.map_err(broken)?;
        pool.close().await;
        Ok(())
    }
}

fn options(namespace: &Namespace, schema: OnMissing) -> OpenOptions {
    OpenOptions::default().with_namespace(namespace.clone()).with_schema(schema)
}

#[async_trait]
impl Backend for Sqlite {
    fn name(&self) -> &str {
        "sqlite"
    }

    /// The folder is created only here, because a worker process uses the folder of another
    /// process.
    async fn start(&self) -> Result<()> {
        let folder = TempDir::with_prefix("leasehold-conformance-").map_err(broken)?;
        self.folder.get_or_init(|| Folder::Own(folder));
        Ok(())
    }

    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let options = options(namespace, OnMissing::Create);
        Ok(Arc::new(SqliteStore::open(self.file(namespace), &options).await?))
    }

    async fn clean(&self, namespace: &Namespace) -> Result<()> {
        // The files are removed with the folder.
        let tables = ["locks", "instances"];
        let drop = tables.map(|table| format!("DROP TABLE IF EXISTS {namespace}_{table};"));
        self.execute(namespace, drop.concat()).await
    }

    fn probes(&self) -> Probes<'_> {
        Probes::default()
            .with_other_processes(self)
            .with_delete_record(self)
            .with_round_trips(self)
            .with_schema(self)
            .with_own_pool(self)
    }
}

#[async_trait]
impl OtherProcesses for Sqlite {
    fn address(&self) -> String {
        self.folder().to_string_lossy().into_owned()
    }

    async fn attach(&self, address: &str) -> Result<Arc<dyn Backend>> {
        let folder = Folder::OfAnotherProcess(address.into()).into();
        Ok(Arc::new(Self { folder, ..Self::default() }))
    }
}

#[async_trait]
impl DeleteRecord for Sqlite {
    async fn delete_record(&self, namespace: &Namespace, name: &LockName) -> Result<()> {
        let pool = self.pool(namespace).await?;
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {namespace}_locks WHERE name = ?1")))
            .bind(name.as_str())
            .execute(&pool)
            .await
            .map_err(broken)?;
        pool.close().await;
        Ok(())
    }
}

/// There is no network. The cost of an operation is the number of write transactions that it
/// commits.
#[async_trait]
impl RoundTrips for Sqlite {
    async fn open_counted(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let commits = self.commits(namespace);
        let pool = SqlitePoolOptions::new().after_connect(move |connection, _| {
            let commits = commits.clone();
            Box::pin(async move {
                connection.lock_handle().await?.set_commit_hook(move || {
                    commits.fetch_add(1, Ordering::SeqCst);
                    true
                });
                Ok(())
            })
        });
        let file = SqliteConnectOptions::new().filename(self.file(namespace));
        let pool = pool.connect_with(file.create_if_missing(true)).await.map_err(broken)?;
        let options = options(namespace, OnMissing::Create);
        Ok(Arc::new(SqliteStore::from_pool(pool, &options).await?))
    }

    async fn counted(&self, namespace: &Namespace) -> Result<u64> {
        Ok(self.commits(namespace).load(Ordering::SeqCst))
    }

    fn acquire_budget(&self) -> u64 {
        1
    }
}

#[async_trait]
impl Schema for Sqlite {
    fn printed(&self, namespace: &Namespace) -> Result<String> {
        SqliteStore::schema(namespace)
    }

    async fn apply(&self, namespace: &Namespace, printed: &str) -> Result<()> {
        self.execute(namespace, printed.to_owned()).await
    }

    /// SQLite has no permissions. A store that requires its schema creates nothing.
    async fn open_without_rights(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let options = options(namespace, OnMissing::Require);
        Ok(Arc::new(SqliteStore::open(self.file(namespace), &options).await?))
    }
}

#[async_trait]
impl OwnPool for Sqlite {
    async fn open_on_own_pool(&self, namespace: &Namespace) -> Result<Pooled> {
        let pool = self.pool(namespace).await?;
        let store =
            SqliteStore::from_pool(pool.clone(), &options(namespace, OnMissing::Create)).await?;
        let use_pool = move || {
            let pool = pool.clone();
            let using = async move {
                let one: i64 =
                    sqlx::query_scalar("SELECT 1").fetch_one(&pool).await.map_err(broken)?;
                assert_eq!(one, 1);
                Ok(())
            };
            Box::pin(using) as futures_util::future::BoxFuture<'static, Result<()>>
        };
        Ok(Pooled::new(Arc::new(store), Box::new(use_pool)))
    }
}
