//! A query says which locks `leasehold status` shows, and how.

use leasehold::{LockName, LockRecord, LockStore, LockStoreExt, Result};

use super::standbys::{LockWithStandbys, View};
use super::table::table;
use crate::io::exit::{FAILED, Failure};

/// A query says which locks to show, and how.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) name: Option<LockName>,
    pub(super) json: bool,
}

impl Query {
    pub(super) async fn read(&self, store: &dyn LockStore) -> Result<Vec<LockWithStandbys>> {
        let records = match &self.name {
            Some(name) => {
                let record = store.get(name).await?;
                vec![record.unwrap_or_else(|| LockRecord::unused(name.clone()))]
            }
            None => store.list_all("").await?,
        };
        // Without instance records the locks are still shown: the store may not support them or
        // deny access.
        let instances = store.instances().await.ok();
        Ok(records
            .into_iter()
            .map(|record| LockWithStandbys::new(record, instances.as_deref()))
            .collect())
    }

    /// Returns what is shown for a store that does not exist yet.
    pub(super) fn without_store(&self) -> Vec<LockWithStandbys> {
        let unused =
            |name: &LockName| LockWithStandbys::new(LockRecord::unused(name.clone()), None);
        self.name.iter().map(unused).collect()
    }

    /// Returns the text for standard output, with its line break.
    pub(super) fn show(
        &self,
        locks: &[LockWithStandbys],
        coloured: bool,
    ) -> Result<String, Failure> {
        if !self.json {
            return Ok(table(locks, coloured));
        }
        let views: Vec<_> = locks.iter().map(View::from).collect();
        let text = match (&self.name, &*views) {
            (Some(_), [only]) => serde_json::to_string(only),
            _ => serde_json::to_string(&views),
        };
        text.map(|text| text + "\n").map_err(|error| Failure::new(FAILED, error.to_string()))
    }
}
