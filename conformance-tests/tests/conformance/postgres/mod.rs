//! This module defines PostgreSQL as a backend of the suite, in a container or given by URL.

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

use leasehold_conformance::{CaseResult, Failure};

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
            Some(server) if server.run(&["which", program]).await?.contains(program) => Ok(()),
            Some(_) => Err(Failure::ignored(format!("the image does not have {program}"))),
        }
    }
}
