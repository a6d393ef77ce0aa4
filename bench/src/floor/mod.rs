//! The floor: the bare driver on warm connections, with as many round trips and durable writes as
//! acquire and release need.
//!
//! A run sets and unsets a lease conditionally: nothing with as many durable writes can be faster.
//! The floor with a ttl and a token (`lease/`) also does what a lock with both needs.
//!
//! An SQL floor has as many connections as a store opens for its calls by default, so that many
//! tasks have the same conditions; a single task uses one.

mod connections;
mod driver;
mod etcd;
pub(crate) mod hand_over;
pub(crate) mod heartbeat;
mod lease;
mod mongodb;
mod mysql;
mod pool;
mod postgres;
mod record;
mod redis;
mod sqlite;

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;

use driver::Floor;

use crate::contender::Contender;
use crate::url::scheme;

struct Ping(Arc<dyn Floor>);

struct SetAndUnset(Arc<dyn Floor>);

#[async_trait]
impl Contender for Ping {
    fn name(&self) -> &str {
        "ping"
    }

    async fn run(&self, _: &str) -> Result<()> {
        self.0.ping().await
    }
}

#[async_trait]
impl Contender for SetAndUnset {
    fn name(&self) -> &str {
        FLOOR
    }

    async fn run(&self, lock: &str) -> Result<()> {
        self.0.set_and_unset(lock).await
    }
}

/// The floor has this name in the report.
pub(crate) const FLOOR: &str = "floor";

/// Opens the floor of that server for those names. Returns the ping, the floor, the floor with a
/// ttl and a token and, if the driver has pools, the floor on a pool.
pub(crate) async fn open(url: &str, locks: &[String]) -> Result<Vec<Arc<dyn Contender>>> {
    let floor: Arc<dyn Floor> = match scheme(url) {
        "sqlite" => Arc::new(sqlite::open(url, locks).await?),
        "postgres" => Arc::new(postgres::open(url, locks).await?),
        "mysql" => Arc::new(mysql::open(url, locks).await?),
        "redis" => Arc::new(redis::open(url).await?),
        "mongodb" => Arc::new(mongodb::open(url, locks).await?),
        _ => Arc::new(etcd::open(url, locks).await?),
    };
    let set_and_unset: Arc<dyn Contender> = Arc::new(SetAndUnset(floor.clone()));
    let ping: Arc<dyn Contender> = Arc::new(Ping(floor));
    let with_lease: Arc<dyn Contender> = Arc::new(lease::open(url, locks).await?);
    let mut contenders = vec![ping, set_and_unset, with_lease];
    if let Some(on_pool) = pool::open(url).await? {
        contenders.push(Arc::new(on_pool));
    }
    Ok(contenders)
}
