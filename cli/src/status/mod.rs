//! `leasehold status`.

mod table;
mod watch;

use leasehold::{LockName, LockRecord, LockStore, LockStoreExt, Result};
use leasehold_admin::LockView;

use crate::args::StatusArgs;
use crate::exit::Failure;
use crate::output::print;
use crate::store::StoreChoice;

pub(crate) async fn status(store: &StoreChoice, args: StatusArgs) -> Result<u8, Failure> {
    let query = Query { name: args.name.map(LockName::new).transpose()?, json: args.json };
    if args.watch {
        return watch::watch(store, &query).await;
    }
    let records = match store.open_existing().await? {
        Some(store) => query.read(&*store).await?,
        None => query.nothing(),
    };
    print(&query.show(&records)?)?;
    Ok(0)
}

/// What is to be shown, and how.
#[derive(Clone, Debug)]
struct Query {
    name: Option<LockName>,
    json: bool,
}

impl Query {
    async fn read(&self, store: &dyn LockStore) -> Result<Vec<LockRecord>> {
        match &self.name {
            Some(name) => {
                let record = store.get(name).await?;
                Ok(vec![record.unwrap_or_else(|| LockRecord::unused(name.clone()))])
            }
            None => store.list_all("").await,
        }
    }

    /// What a store shows that does not exist yet.
    fn nothing(&self) -> Vec<LockRecord> {
        self.name.iter().cloned().map(LockRecord::unused).collect()
    }

    /// The text for standard output, with its line break.
    fn show(&self, records: &[LockRecord]) -> Result<String, Failure> {
        if !self.json {
            return Ok(table::table(records));
        }
        let views: Vec<_> = records.iter().map(LockView::from).collect();
        let text = match (&self.name, &*views) {
            (Some(_), [only]) => serde_json::to_string(only),
            _ => serde_json::to_string(&views),
        };
        text.map(|text| text + "\n")
            .map_err(|error| Failure::new(crate::exit::FAILED, error.to_string()))
    }
}
