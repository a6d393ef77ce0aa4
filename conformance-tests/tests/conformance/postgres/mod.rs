//! This module defines PostgreSQL as a backend of the suite, in a container or given by URL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "cases fail by panicking")]

mod addresses;
mod calls;
mod commits;
mod connect_errors;
mod damage;
mod dialect;
mod failover;
mod heartbeats;
mod notifications;
mod old_pooler;
mod pooler;
mod queue_schema;
mod queues;
mod rows;
mod schemas;
mod session_loss;
mod sessions;
mod specific;
mod support;
mod switch_over;
mod tls;

use std::sync::Arc;

use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::{CaseResult, Client, Failure};
use leasehold_core::Namespace;
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::sql::{SqlBackend, options};

use dialect::{PostgresDialect, pool, ready, start};
pub(crate) use specific::CASES;

/// This is a server of PostgreSQL.
pub(crate) type Postgres = SqlBackend<PostgresDialect>;

impl Postgres {
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
            Some(server) if server.has(program).await? => Ok(()),
            Some(_) => Err(Failure::ignored(format!("the image does not have {program}"))),
        }
    }

    /// Returns the number of sessions with that name.
    async fn sessions(&self, application: &Namespace) -> CaseResult<i64> {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        let count = sqlx::query_scalar(query).bind(application.as_str());
        Ok(count.fetch_one(self.admin()).await?)
    }

    /// Returns a URL that names the sessions after the namespace.
    fn named_url(&self, namespace: &Namespace) -> String {
        self.url_with(&format!("application_name={namespace}"))
    }

    /// Opens a store on an application's pool, whose sessions are named after the namespace.
    async fn on_pool(
        &self,
        namespace: &Namespace,
        most: u32,
        option: &str,
    ) -> CaseResult<(PgPool, Client)> {
        let url = format!("{}{option}", self.named_url(namespace));
        let pool = PgPoolOptions::new().max_connections(most).test_before_acquire(false);
        let pool = pool.connect(&url).await?;
        let options = options(namespace, Schema::Create);
        let store = PostgresStore::from_pool(pool.clone(), &options).await?;
        Ok((pool, Client::new(Arc::new(store))))
    }
}
