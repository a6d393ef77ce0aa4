//! `leasehold status` shows locks.

mod query;
mod screen;
mod standbys;
mod table;
mod watch;

use std::io::IsTerminal;

use leasehold::LockName;

use crate::args::StatusArgs;
use crate::io::exit::Failure;
use crate::io::stdout::print;
use crate::io::table::colours;
use crate::store_choice::StoreChoice;
use query::Query;

pub(crate) async fn status(store: &StoreChoice, args: StatusArgs) -> Result<u8, Failure> {
    let query = Query { name: args.name.map(LockName::new).transpose()?, json: args.json };
    if args.watch {
        return watch::watch(store, &query).await;
    }
    let locks = match store.open_existing().await? {
        Some(store) => query.read(&*store).await?,
        None => query.without_store(),
    };
    print(&query.show(&locks, colours(std::io::stdout().is_terminal()))?)?;
    Ok(0)
}
