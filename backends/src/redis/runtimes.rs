//! The connections of a store, separate for each runtime that calls it.
//!
//! A connection is driven by a task of the runtime that opened it, so it does not answer while the
//! threads of that runtime compute or block. Heartbeats run in a runtime of their own, and must not
//! wait for those of the application: nothing that a call waits for is shared between runtimes.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{self, Handle};

use super::place::Place;
use super::servers::Servers;
use super::waiting::Replicas;

/// The connections of at most this many runtimes are kept: those that were used last.
const MOST: usize = 4;

/// The connections of a store in one runtime. They are opened when they are first used.
pub(super) struct Connections {
    pub(super) place: Place,
    pub(super) servers: Servers,
    /// This is set if writes wait for replicas.
    pub(super) replicas: Option<Replicas>,
}

impl Connections {
    fn new(place: Place, wait_replicas: u32) -> Self {
        let replicas = match &place {
            Place::Server(server) if wait_replicas > 0 => {
                Some(Replicas::new(wait_replicas, server))
            }
            _ => None,
        };
        Self { servers: Servers::new(&place), replicas, place }
    }
}

/// The connections of a store in all runtimes.
pub(super) struct Runtimes {
    place: Place,
    wait_replicas: u32,
    /// The runtime that was used last comes last.
    opened: Mutex<Vec<(runtime::Id, Arc<Connections>)>>,
}

impl Runtimes {
    pub(super) fn new(place: Place, wait_replicas: u32) -> Self {
        Self { place, wait_replicas, opened: Mutex::default() }
    }

    /// Returns the connections of the runtime that calls this.
    pub(super) fn here(&self) -> Arc<Connections> {
        let id = Handle::current().id();
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let at = opened.iter().rposition(|(other, _)| *other == id);
        let connections = at.map_or_else(
            || Arc::new(Connections::new(self.place.separate(), self.wait_replicas)),
            |at| opened.remove(at).1,
        );
        opened.push((id, Arc::clone(&connections)));
        let surplus = opened.len().saturating_sub(MOST);
        let surplus: Vec<_> = opened.drain(..surplus).collect();
        // What they drop may take locks of its own.
        drop(opened);
        drop(surplus);
        connections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> runtime::Runtime {
        runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn each_runtime_has_its_own_connections_and_few_are_kept() {
        let place = super::super::config::parse("redis://localhost").unwrap().place;
        let store = Runtimes::new(place, 0);
        let runtimes: Vec<_> = (0..=MOST).map(|_| runtime()).collect();
        let here = |at: usize| runtimes[at].block_on(async { store.here() });
        let (first, second) = (here(0), here(1));
        assert!(!Arc::ptr_eq(&first, &second));
        (2..MOST).for_each(|at| _ = here(at));
        assert!(Arc::ptr_eq(&first, &here(0)));
        // The second was used least recently.
        here(MOST);
        assert!(Arc::ptr_eq(&first, &here(0)));
        assert!(!Arc::ptr_eq(&second, &here(1)));
    }
}
