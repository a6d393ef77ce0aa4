//! Other ways to lock on the same server, which need no other driver.
//!
//! Locks of a session (advisory and user-level locks) write nothing to disk, have no ttl and no
//! token, and end with the connection. etcd's locks are durable and end with their lease.

mod advisory_lock;
mod etcd_lock;
mod limits;
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
        _ => {}
    }
    Ok(peers)
}
