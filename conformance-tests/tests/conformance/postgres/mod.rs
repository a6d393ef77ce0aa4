//! This module defines PostgreSQL as a backend of the suite, in a container or given by URL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "cases fail by panicking")]

mod addresses;
mod calls;
mod connect_errors;
mod damage;
mod failover;
mod notifications;
mod old_pooler;
mod pooler;
mod probes;
mod rows;
mod schemas;
mod session_loss;
mod specific;
mod support;
mod switch_over;
mod tls;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use leasehold::postgres::PostgresStore;
use leasehold::{OpenOptions, Schema};
use leasehold_conformance::servers::catalog::POSTGRES;
use leasehold_conformance::servers::{Server, until_ready};
use leasehold_conformance::{Backend, CaseResult, Failure, Probes};
use leasehold_core::{LockStore, Namespace, Result};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::sync::Mutex;

use crate::broken::broken;

pub(crate) use specific::CASES;

/// These settings make the server faster, and let it count the statements of every case.
const SETTINGS: &[&str] = &["-c", "fsync=off", "-c", "pg_stat_statements.max=20000"];

/// This is a server of PostgreSQL.
#[derive(Default)]
pub(crate) struct Postgres {
    running: OnceLock<Running>,
    /// This is `None` after [`Backend::stop`].
    container: Mutex<Option<Server>>,
}

struct Running {
    url: String,
    admin: PgPool,
}

/// Returns a pool of a few connections that are opened when they are needed.
fn pool(url: &str) -> Result<PgPool> {
    PgPoolOptions::new().max_connections(4).connect_lazy(url).map_err(broken)
}

/// Starts a server for one case, and returns it with its URL.
async fn start(more: &[&str]) -> Result<(Server, String)> {
    let server = Server::start_with(&POSTGRES, more).await?;
    let url = POSTGRES.url_at(&server.address());
    ready(&url).await?;
    Ok((server, url))
}

async fn ready(url: &str) -> Result<()> {
    until_ready(|| async {
        let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
        sqlx::query("SELECT 1").execute(&pool).await
    })
    .await?;
    Ok(())
}

impl Postgres {
    fn running(&self) -> &Running {
        self.running.get().expect("the suite starts a backend before it uses it")
    }

    fn url(&self) -> &str {
        &self.running().url
    }

    fn admin(&self) -> &PgPool {
        &self.running().admin
    }

    /// Returns host and port as they are in the URL.
    fn address(&self) -> String {
        let authority = self.url().split('/').nth(2).unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default().to_owned()
    }

    /// Returns the URL of the same server for another user or with another address.
    fn url_of(&self, user: &str) -> String {
        let rest = self.url().rsplit_once('@').map(|(_, rest)| rest).unwrap_or_default();
        format!("postgres://{user}:secret@{rest}")
    }

    /// Returns the URL with one more option.
    fn url_with(&self, option: &str) -> String {
        let separator = if self.url().contains('?') { '&' } else { '?' };
        format!("{}{separator}{option}", self.url())
    }

    /// Ignores the case if it cannot start its own containers, or if the image does not have that
    /// program.
    async fn needs(&self, program: &str) -> CaseResult {
        match &*self.container.lock().await {
            None => Err(Failure::ignored("a server given by URL is not started or stopped")),
            Some(server) if server.run(&["which", program]).await?.contains(program) => Ok(()),
            Some(_) => Err(Failure::ignored(format!("the image does not have {program}"))),
        }
    }

    async fn execute(&self, sql: impl Into<String>) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(self.admin()).await.map_err(broken)?;
        Ok(())
    }

    fn know(&self, url: String) -> Result<()> {
        let admin = pool(&url)?;
        self.running.get_or_init(|| Running { url, admin });
        Ok(())
    }
}

fn options(namespace: &Namespace, schema: Schema) -> OpenOptions {
    OpenOptions { namespace: namespace.clone(), schema, ..OpenOptions::default() }
}

#[async_trait]
impl Backend for Postgres {
    fn name(&self) -> &str {
        "postgres"
    }

    async fn start(&self) -> Result<()> {
        if let Some(url) = POSTGRES.given_url() {
            self.know(url)?;
        } else {
            let (server, url) = start(SETTINGS).await?;
            *self.container.lock().await = Some(server);
            self.know(url)?;
            // Without this setting, clients in debug builds take long to prove that they know a
            // password (since 16).
            let cheap = "SET scram_iterations = 1; ALTER ROLE postgres PASSWORD 'secret'";
            _ = self.execute(cheap).await;
        }
        self.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await
    }

    async fn stop(&self) {
        drop(self.container.lock().await.take());
    }

    async fn server(&self) -> Result<Option<String>> {
        let query = sqlx::query_scalar("SELECT current_setting('server_version')");
        let version: String = query.fetch_one(self.admin()).await.map_err(broken)?;
        Ok(Some(format!("PostgreSQL {version}")))
    }

    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let options = options(namespace, Schema::Create);
        Ok(Arc::new(PostgresStore::connect(self.url(), &options).await?))
    }

    async fn clean(&self, namespace: &Namespace) -> Result<()> {
        self.execute(format!(
            "DROP TABLE IF EXISTS {namespace}_locks, {namespace}_instances; DROP ROLE IF EXISTS {namespace}"
        ))
        .await
    }

    fn probes(&self) -> Probes<'_> {
        Probes {
            other_processes: Some(self),
            delete_record: Some(self),
            round_trips: Some(self),
            schema: Some(self),
            own_pool: Some(self),
            outages: Some(self),
            own_server: POSTGRES.given_url().is_none().then_some(self as _),
        }
    }
}
