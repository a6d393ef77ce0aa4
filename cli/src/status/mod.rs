//! `leasehold status`.

mod screen;
mod standbys;
mod table;
mod watch;

use std::io::IsTerminal;

use leasehold::{LockName, LockRecord, LockStore, LockStoreExt, Result};

use crate::args::StatusArgs;
use crate::exit::Failure;
use crate::output::{colours, print};
use crate::store::StoreChoice;
use standbys::{View, Watched};

pub(crate) async fn status(store: &StoreChoice, args: StatusArgs) -> Result<u8, Failure> {
    let query = Query { name: args.name.map(LockName::new).transpose()?, json: args.json };
    if args.watch {
        return watch::watch(store, &query).await;
    }
    let locks = match store.open_existing().await? {
        Some(store) => query.read(&*store).await?,
        None => query.nothing(),
    };
    print(&query.show(&locks, colours(std::io::stdout().is_terminal()))?)?;
    Ok(0)
}

/// What is to be shown, and how.
#[derive(Clone, Debug)]
struct Query {
    name: Option<LockName>,
    json: bool,
}

impl Query {
    async fn read(&self, store: &dyn LockStore) -> Result<Vec<Watched>> {
        let records = match &self.name {
            Some(name) => {
                let record = store.get(name).await?;
                vec![record.unwrap_or_else(|| LockRecord::unused(name.clone()))]
            }
            None => store.list_all("").await?,
        };
        // Without them the rest is worth showing: the store may keep none, or refuse to tell.
        let instances = store.instances().await.ok();
        Ok(records.into_iter().map(|record| Watched::new(record, instances.as_deref())).collect())
    }

    /// What a store shows that does not exist yet.
    fn nothing(&self) -> Vec<Watched> {
        let unused = |name: &LockName| Watched::new(LockRecord::unused(name.clone()), None);
        self.name.iter().map(unused).collect()
    }

    /// The text for standard output, with its line break.
    fn show(&self, locks: &[Watched], coloured: bool) -> Result<String, Failure> {
        if !self.json {
            return Ok(table::table(locks, coloured));
        }
        let views: Vec<_> = locks.iter().map(View::from).collect();
        let text = match (&self.name, &*views) {
            (Some(_), [only]) => serde_json::to_string(only),
            _ => serde_json::to_string(&views),
        };
        text.map(|text| text + "\n")
            .map_err(|error| Failure::new(crate::exit::FAILED, error.to_string()))
    }
}
