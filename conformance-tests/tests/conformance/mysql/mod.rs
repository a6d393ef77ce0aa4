//! This module defines MySQL and MariaDB as backends of the suite, each in a container or given by
//! URL.

mod calls;
mod connect_errors;
mod damage;
mod databases;
mod fence;
mod found_rows_flag;
mod probes;
mod rows;
mod schema;
mod session_loss;
mod specific;
mod support;
mod switch_over;
mod tls;
mod tunnel;
mod user_locks;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use leasehold::mysql::MySqlStore;
use leasehold::{OpenOptions, Schema};
use leasehold_conformance::servers::{Image, Server, until_ready};
use leasehold_conformance::{Backend, CaseResult, Failure, Probes};
use leasehold_core::{LockStore, Namespace, Result};
use sqlx::AssertSqlSafe;
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use tokio::sync::Mutex;

use crate::broken::broken;

pub(crate) use specific::CASES;

/// This is a server of MySQL or MariaDB.
pub(crate) struct MySql {
    image: &'static Image,
    running: OnceLock<Running>,
    /// This is `None` after [`Backend::stop`].
    container: Mutex<Option<Server>>,
}

struct Running {
    url: String,
    admin: MySqlPool,
}

/// Returns a pool of a few connections that are opened when they are needed.
fn pool(url: &str) -> Result<MySqlPool> {
    MySqlPoolOptions::new().max_connections(4).connect_lazy(url).map_err(broken)
}

/// Starts a server for one case, and returns it with its URL.
async fn start(image: &Image, more: &[&str]) -> Result<(Server, String)> {
    let server = Server::start_with(image, more).await?;
    let url = image.url_at(&server.address());
    ready(&url).await?;
    Ok((server, url))
}

async fn ready(url: &str) -> Result<()> {
    until_ready(|| async {
        let pool = MySqlPoolOptions::new().max_connections(1).connect(url).await?;
        sqlx::query("SELECT 1").execute(&pool).await
    })
    .await?;
    Ok(())
}

impl MySql {
    /// Creates the backend of that image.
    pub(crate) fn of(image: &'static Image) -> Self {
        Self { image, running: OnceLock::new(), container: Mutex::new(None) }
    }

    fn running(&self) -> &Running {
        self.running.get().expect("the suite starts a backend before it uses it")
    }

    fn url(&self) -> &str {
        &self.running().url
    }

    fn admin(&self) -> &MySqlPool {
        &self.running().admin
    }

    /// Returns host and port as they are in the URL.
    fn address(&self) -> String {
        let authority = self.url().split('/').nth(2).unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default().to_owned()
    }

    /// Returns the URL of the same server for another user.
    fn url_of(&self, user: &str) -> String {
        let rest = self.url().rsplit_once('@').map(|(_, rest)| rest).unwrap_or_default();
        format!("mysql://{user}:secret@{rest}")
    }

    /// Ignores the case if it cannot start its own servers.
    fn may_start_servers(&self) -> CaseResult {
        match self.image.given_url() {
            None => Ok(()),
            Some(_) => Err(Failure::ignored("beside a server given by URL no other is started")),
        }
    }

    /// Returns the table of the server's sessions. MySQL fails to read the one in
    /// `information_schema` while a statement of any session has a character beyond utf8mb3, and
    /// MariaDB has no other one.
    fn process_list(&self) -> &'static str {
        match self.image.name {
            "mysql" => "performance_schema.processlist",
            _ => "information_schema.processlist",
        }
    }

    /// Returns the sessions of that user, and what each of them does.
    async fn sessions(&self, user: &Namespace) -> CaseResult<Vec<(i64, String)>> {
        let query = format!(
            "SELECT CAST(id AS SIGNED), CAST(COALESCE(info, '') AS CHAR) FROM {} WHERE user = ?",
            self.process_list()
        );
        let sessions = sqlx::query_as(AssertSqlSafe(query)).bind(user.as_str());
        Ok(sessions.fetch_all(self.admin()).await?)
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
impl Backend for MySql {
    fn name(&self) -> &str {
        self.image.name
    }

    async fn start(&self) -> Result<()> {
        if let Some(url) = self.image.given_url() {
            return self.know(url);
        }
        let (server, url) = start(self.image, &[]).await?;
        *self.container.lock().await = Some(server);
        self.know(url)
    }

    async fn stop(&self) {
        drop(self.container.lock().await.take());
    }

    async fn server(&self) -> Result<Option<String>> {
        let query = sqlx::query_scalar("SELECT VERSION()");
        let version: String = query.fetch_one(self.admin()).await.map_err(broken)?;
        let name = if version.contains("MariaDB") { "MariaDB" } else { "MySQL" };
        Ok(Some(format!("{name} {version}")))
    }

    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let options = options(namespace, Schema::Create);
        Ok(Arc::new(MySqlStore::connect(self.url(), &options).await?))
    }

    async fn clean(&self, namespace: &Namespace) -> Result<()> {
        self.execute(format!(
            "DROP TABLE IF EXISTS {namespace}_locks, {namespace}_instances; DROP USER IF EXISTS {namespace}"
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
            own_server: self.image.given_url().is_none().then_some(self as _),
        }
    }
}
