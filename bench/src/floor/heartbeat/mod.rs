//! The floor of a heartbeat: the bare driver extends many leases, in batches as large as those of
//! Leasehold.
//!
//! A batch is one conditional statement, in the shortest form that the server has for it. It
//! extends leases that have not expired by the server's clock, and is as durable as other writes.
//! All leases have the same id, and the answer is only the number of extended leases.

mod driver;
mod mysql;
mod postgres;
mod redis;
mod sqlite;

use std::cell::RefCell;
use std::slice::Chunks;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;

use driver::{Extender, Extenders};

use crate::url::scheme;

/// This is the default of Leasehold's stores.
const BATCH: usize = 500;

/// The bare driver's heartbeat extends leases on one server.
pub(crate) struct BareHeartbeat {
    connections: Extenders,
    names: Vec<String>,
}

/// Creates that many leases in a table or keys of their own. Returns `None` for a server without
/// this floor.
pub(crate) async fn open(url: &str, leases: usize) -> Result<Option<BareHeartbeat>> {
    let names: Vec<String> = (0..leases).map(|lease| format!("bench-lease-{lease}")).collect();
    let connections = match scheme(url) {
        "sqlite" => sqlite::open(url, &names).await?,
        "postgres" => postgres::open(url, &names).await?,
        "mysql" => mysql::open(url, &names).await?,
        "redis" => redis::open(url, &names).await?,
        _ => return Ok(None),
    };
    Ok(Some(BareHeartbeat { connections, names }))
}

impl BareHeartbeat {
    /// Extends all leases, and returns the number of statements. Each connection sends the next
    /// batch when it has the answer to its last one.
    pub(crate) async fn send(&mut self) -> Result<usize> {
        let batches = RefCell::new(self.names.chunks(BATCH));
        let connections = self.connections.iter_mut();
        let sent = try_join_all(connections.map(|it| send_batches(it.as_mut(), &batches))).await?;
        Ok(sent.into_iter().sum())
    }
}

async fn send_batches(
    connection: &mut dyn Extender,
    batches: &RefCell<Chunks<'_, String>>,
) -> Result<usize> {
    let mut sent = 0;
    loop {
        let Some(names) = batches.borrow_mut().next() else { return Ok(sent) };
        let extended = connection.extend(names).await?;
        ensure!(
            extended == names.len() as u64,
            "{extended} of {} leases were extended",
            names.len()
        );
        sent += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;

    use super::*;

    /// This connection records the names of the leases that it extends.
    struct RecordingExtender(Arc<Mutex<Vec<String>>>);

    #[async_trait]
    impl Extender for RecordingExtender {
        async fn extend(&mut self, names: &[String]) -> Result<u64> {
            self.0.lock().unwrap().extend_from_slice(names);
            tokio::task::yield_now().await;
            Ok(names.len() as u64)
        }
    }

    #[tokio::test]
    async fn a_heartbeat_extends_each_lease_once() {
        let extended = Arc::new(Mutex::new(Vec::new()));
        let connection = || -> Box<dyn Extender> { Box::new(RecordingExtender(extended.clone())) };
        let names: Vec<String> = (0..=2 * BATCH).map(|lease| lease.to_string()).collect();
        let connections = vec![connection(), connection()];
        let mut heartbeat = BareHeartbeat { connections, names: names.clone() };
        assert_eq!(heartbeat.send().await.unwrap(), 3);
        assert_eq!(*extended.lock().unwrap(), names);
    }
}
