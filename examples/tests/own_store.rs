//! Runs the conformance suite on the store of the example `own_store`, as the author of a store
//! does.

#[path = "../own_store.rs"]
#[allow(dead_code, reason = "the function `main` is that of the example")]
mod own_store;

use std::process::ExitCode;
use std::sync::Arc;

use leasehold::{LockName, LockStore, Namespace, Result, async_trait};
use leasehold_conformance::{Backend, DeleteRecord, Probes, Suite};
use own_store::{Database, open};

/// All clients share one database.
#[derive(Default)]
struct OwnStore {
    database: Database,
}

#[async_trait]
impl Backend for OwnStore {
    fn name(&self) -> &str {
        "own-store"
    }

    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        Ok(Arc::new(open(&self.database, namespace)))
    }

    async fn clean(&self, namespace: &Namespace) -> Result<()> {
        self.database.namespaces.lock().remove(namespace);
        Ok(())
    }

    fn probes(&self) -> Probes<'_> {
        Probes::default().with_delete_record(self)
    }
}

#[async_trait]
impl DeleteRecord for OwnStore {
    async fn delete_record(&self, namespace: &Namespace, name: &LockName) -> Result<()> {
        self.database.tables(namespace).locks.lock().remove(name);
        Ok(())
    }
}

fn main() -> ExitCode {
    Suite::new().backend(OwnStore::default()).main()
}
