//! Other ways to lock on the same server.
//!
//! Locks of a session (advisory and user-level locks) write nothing to disk, have no ttl and no
//! token, and end with the connection. etcd's locks are durable and end with their lease. Peers
//! with a driver of their own are built by `cargo xtask bench` only.

mod advisory_lock;
#[cfg(bench_peers)]
mod distributed_mongo;
#[cfg(bench_peers)]
mod distributed_redis;
mod etcd_lock;
mod limits;
#[cfg(bench_peers)]
mod redlock;
mod user_lock;

use std::sync::Arc;

use anyhow::Result;

use crate::contender::LockLibrary;
use crate::url::scheme;

/// Opens the peers on that server.
pub(crate) async fn open(url: &str) -> Result<Vec<Arc<dyn LockLibrary>>> {
    let mut peers: Vec<Arc<dyn LockLibrary>> = Vec::new();
    match scheme(url) {
        "postgres" => peers.push(Arc::new(advisory_lock::open(url)?)),
        "mysql" => peers.push(Arc::new(user_lock::open(url)?)),
        "etcd" => peers.push(Arc::new(etcd_lock::open(url).await?)),
        #[cfg(bench_peers)]
        "redis" => {
            peers.push(Arc::new(redlock::open(url)));
            peers.push(Arc::new(distributed_redis::open(url).await?));
        }
        #[cfg(bench_peers)]
        "mongodb" => peers.push(Arc::new(distributed_mongo::open(url).await?)),
        _ => {}
    }
    Ok(peers)
}
