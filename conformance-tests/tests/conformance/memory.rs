//! This module defines the memory store as a backend of the suite.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use leasehold_conformance::Backend;
use leasehold_core::{LockStore, MemoryStore, Namespace, Result};
use parking_lot::Mutex;

/// Each namespace is a separate store, and each client is a clone of it.
#[derive(Default)]
pub(crate) struct Memory {
    stores: Mutex<HashMap<Namespace, MemoryStore>>,
}

#[async_trait]
impl Backend for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let mut stores = self.stores.lock();
        Ok(Arc::new(stores.entry(namespace.clone()).or_default().clone()))
    }

    async fn clean(&self, namespace: &Namespace) -> Result<()> {
        self.stores.lock().remove(namespace);
        Ok(())
    }
}
