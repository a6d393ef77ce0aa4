//! The connections of a store, separate for each runtime that calls it.
//!
//! A connection is driven by a task of the runtime that opened it, so it does not answer while the
//! threads of that runtime compute or block. Heartbeats run in a separate runtime and must not wait
//! for those of the application: runtimes share nothing that a call waits for.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{self, Handle};
use tokio::time::Instant;

use super::servers::Servers;
use super::topology::Topology;
use super::wait_pool::ReplicaWaits;

/// The connections of a runtime that did not call the store for this long are closed by a call from
/// another runtime. Heartbeats call it more often.
const UNUSED_LIMIT: Duration = Duration::from_secs(60);

/// The connections of a store in one runtime. They are opened when they are first used.
pub(super) struct Connections {
    pub(super) topology: Topology,
    pub(super) servers: Servers,
    /// This is set if writes wait for replicas.
    pub(super) replicas: Option<ReplicaWaits>,
}

impl Connections {
    fn new(topology: Topology, wait_replicas: u32) -> Self {
        let replicas = match &topology {
            Topology::Server(server) if wait_replicas > 0 => {
                Some(ReplicaWaits::new(wait_replicas, server))
            }
            _ => None,
        };
        Self { servers: Servers::new(&topology), replicas, topology }
    }
}

/// The connections of a store in all runtimes.
pub(super) struct Runtimes {
    topology: Topology,
    wait_replicas: u32,
    opened: Mutex<Vec<RuntimeConnections>>,
}

struct RuntimeConnections {
    runtime: runtime::Id,
    used: Instant,
    connections: Arc<Connections>,
}

impl Runtimes {
    pub(super) fn new(topology: Topology, wait_replicas: u32) -> Self {
        Self { topology, wait_replicas, opened: Mutex::default() }
    }

    /// Returns whether a call on one lock is one request to one server.
    pub(super) fn has_one_request_per_call(&self) -> bool {
        self.wait_replicas == 0 && matches!(self.topology, Topology::Server(_))
    }

    /// Returns the connections of the runtime that calls this.
    pub(super) fn here(&self) -> Arc<Connections> {
        let runtime = Handle::current().id();
        let mut opened = self.opened.lock();
        let unused: Vec<_> = opened
            .extract_if(.., |it| it.runtime != runtime && it.used.elapsed() >= UNUSED_LIMIT)
            .collect();
        let connections = if let Some(known) = opened.iter_mut().find(|it| it.runtime == runtime) {
            known.used = Instant::now();
            Arc::clone(&known.connections)
        } else {
            let topology = self.topology.without_connections();
            let connections = Arc::new(Connections::new(topology, self.wait_replicas));
            let kept = Arc::clone(&connections);
            opened.push(RuntimeConnections { runtime, used: Instant::now(), connections: kept });
            connections
        };
        // Dropping these may lock other mutexes.
        drop(opened);
        drop(unused);
        connections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> runtime::Runtime {
        runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    #[test]
    fn each_runtime_has_its_own_connections_for_as_long_as_it_uses_them() {
        let topology = super::super::url::parse("redis://localhost").unwrap().topology;
        let store = Runtimes::new(topology, 0);
        let runtimes: Vec<_> = (0..10).map(|_| runtime()).collect();
        let here = |at: usize| runtimes[at].block_on(async { store.here() });
        let first: Vec<_> = (0..10).map(here).collect();
        assert!(!Arc::ptr_eq(&first[0], &first[1]));
        assert!((0..10).all(|at| Arc::ptr_eq(&first[at], &here(at))));
        // For this runtime, a long time passes.
        runtimes[0].block_on(async {
            tokio::time::advance(UNUSED_LIMIT * 2).await;
            assert!(Arc::ptr_eq(&first[0], &store.here()));
        });
        assert!(!Arc::ptr_eq(&first[1], &here(1)));
    }
}
