//! This module defines a backend of broken stores.

mod fault;
mod sequences;
mod store;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_conformance::{Backend, DeleteRecord, Link, Outages, Probes, RoundTrips};
use leasehold_core::{LockName, LockStore, Namespace, Result};
use parking_lot::Mutex;

pub(crate) use fault::Fault;
use store::{BrokenStore, Shared};

/// This is the backend of stores that all have the same fault, or none.
pub(crate) struct Broken {
    fault: Option<Fault>,
    namespaces: Mutex<HashMap<String, Arc<Shared>>>,
    clients: AtomicU32,
}

impl Broken {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self { fault, namespaces: Mutex::default(), clients: AtomicU32::new(0) }
    }

    fn key(&self, namespace: &Namespace) -> String {
        let length = match self.fault {
            Some(Fault::MixesUpNamespaces) => 21,
            _ => Namespace::MAX_BYTES,
        };
        namespace.as_str().chars().take(length).collect()
    }

    fn shared(&self, namespace: &Namespace) -> Arc<Shared> {
        let mut namespaces = self.namespaces.lock();
        let shared = namespaces.entry(self.key(namespace));
        Arc::clone(shared.or_insert_with(|| Arc::new(Shared::new())))
    }

    fn client(&self, namespace: &Namespace) -> BrokenStore {
        BrokenStore {
            shared: self.shared(namespace),
            fault: self.fault,
            // Their clocks differ by more than a short ttl.
            skew: Duration::from_millis(450) * self.clients.fetch_add(1, Ordering::SeqCst),
            link: Arc::new(AtomicU8::new(0)),
        }
    }
}

#[async_trait]
impl Backend for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        Ok(Arc::new(self.client(namespace)))
    }

    async fn clean(&self, namespace: &Namespace) -> Result<()> {
        let mut namespaces = self.namespaces.lock();
        namespaces.remove(&self.key(namespace));
        Ok(())
    }

    fn probes(&self) -> Probes<'_> {
        Probes::default().with_delete_record(self).with_round_trips(self).with_outages(self)
    }
}

#[async_trait]
impl DeleteRecord for Broken {
    async fn delete_record(&self, namespace: &Namespace, name: &LockName) -> Result<()> {
        self.shared(namespace).entries().remove(name);
        Ok(())
    }
}

#[async_trait]
impl RoundTrips for Broken {
    async fn open_counted(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        self.open(namespace).await
    }

    async fn counted(&self, namespace: &Namespace) -> Result<u64> {
        Ok(self.shared(namespace).trips.load(Ordering::SeqCst))
    }

    fn acquire_budget(&self) -> u64 {
        1
    }
}

#[async_trait]
impl Outages for Broken {
    async fn open_over_link(&self, namespace: &Namespace) -> Result<Arc<dyn Link>> {
        Ok(Arc::new(BrokenLink(self.client(namespace))))
    }
}

/// This is a client's link to the store, which is a switch in the client.
struct BrokenLink(BrokenStore);

#[async_trait]
impl Link for BrokenLink {
    fn store(&self) -> Arc<dyn LockStore> {
        Arc::new(self.0.clone())
    }

    async fn swallow_replies(&self) {
        self.0.link.store(1, Ordering::SeqCst);
    }

    async fn slow(&self, _: Duration) {
        // The calls of this store use no connection that could be slow.
    }

    async fn silence_connections(&self) {
        // This store has no connections.
    }

    async fn cut(&self) {
        self.0.link.store(2, Ordering::SeqCst);
    }

    async fn restore(&self) {
        self.0.link.store(0, Ordering::SeqCst);
    }
}
