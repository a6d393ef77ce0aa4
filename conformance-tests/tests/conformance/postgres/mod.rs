//! PostgreSQL, in a container or given by URL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "cases fail by panicking")]

mod addresses;
mod calls;
mod connect_errors;
mod damage;
mod dialect;
mod failover;
mod notifications;
mod old_pooler;
mod pooler;
mod rows;
mod schemas;
mod session_loss;
mod specific;
mod support;
mod switch_over;
mod tls;

use leasehold_conformance::servers::catalog::POSTGRES;
use leasehold_conformance::servers::{Server, until_ready};
use leasehold_conformance::{CaseResult, Failure};
use leasehold_core::Result;
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::broken::broken;
use crate::sql::{SqlBackend, options};

use dialect::PostgresDialect;
pub(crate) use specific::CASES;

/// A server of PostgreSQL.
pub(crate) type Postgres = SqlBackend<PostgresDialect>;

/// A few connections that are opened when they are needed.
fn pool(url: &str) -> Result<PgPool> {
    PgPoolOptions::new().max_connections(4).connect_lazy(url).map_err(broken)
}

/// A server of a case's own, and its URL.
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
    /// The URL with one more option.
    fn url_with(&self, option: &str) -> String {
        let separator = if self.url().contains('?') { '&' } else { '?' };
        format!("{}{separator}{option}", self.url())
    }

    /// For a case that starts containers of its own, whose image has to have that program.
    async fn needs(&self, program: &str) -> CaseResult {
        match &*self.container.lock().await {
            None => Err(Failure::ignored("a server given by URL is not started or stopped")),
            Some(server) if server.run(&["which", program]).await?.contains(program) => Ok(()),
            Some(_) => Err(Failure::ignored(format!("the image does not have {program}"))),
        }
    }
}
