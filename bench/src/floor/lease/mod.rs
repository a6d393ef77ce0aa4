//! The floor with a ttl and a token: the bare driver on warm connections does what a lock needs in
//! order to expire by the server's clock and to have a durable fencing token.
//!
//! An acquire is one conditional write. It reads the server's clock, and unless a lease is in force
//! it writes the lease id, the holder, a larger token and the expiry, and returns the token. A
//! release is one conditional write by the lease id. For each server these are the shortest
//! statements. There is no reason for a refusal, no way to disable a lock and no notification, and
//! a failed call is not repeated.

mod etcd;
mod mongodb;
mod mysql;
mod postgres;
mod redis;
mod server;
mod sqlite;

use std::sync::Arc;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use leasehold::LeaseId;
use server::LeasingServer;

use crate::contender::Contender;
use crate::url::scheme;

pub(super) struct GrantAndRelease(Arc<dyn LeasingServer>);

/// Opens the floor of that server for those names.
pub(super) async fn open(url: &str, locks: &[String]) -> Result<GrantAndRelease> {
    let server: Arc<dyn LeasingServer> = match scheme(url) {
        "sqlite" => Arc::new(sqlite::open(url, locks).await?),
        "postgres" => Arc::new(postgres::open(url, locks).await?),
        "mysql" => Arc::new(mysql::open(url, locks).await?),
        "redis" => Arc::new(redis::open(url, locks).await?),
        "mongodb" => Arc::new(mongodb::open(url, locks).await?),
        _ => Arc::new(etcd::open(url, locks).await?),
    };
    Ok(GrantAndRelease(server))
}

#[async_trait]
impl Contender for GrantAndRelease {
    fn name(&self) -> &str {
        "floor with ttl and token"
    }

    async fn run(&self, lock: &str) -> Result<()> {
        let lease = LeaseId::new().to_string();
        let token = self.0.grant(lock, &lease).await?;
        ensure!(token > 0, "the token of the floor is {token}");
        self.0.release(lock, &lease).await
    }
}
