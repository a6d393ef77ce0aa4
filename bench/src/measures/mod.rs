//! The measurements. Each is a module that returns tables.

mod acquire_release;
pub(crate) mod calls_per_lock;
pub(crate) mod cold_start;
pub(crate) mod contended;
pub(crate) mod crash;
pub(crate) mod evenness;
pub(crate) mod fence;
pub(crate) mod hand_over;
pub(crate) mod heartbeat;
pub(crate) mod idle;
mod many_names;

use std::sync::Arc;

use anyhow::Result;

use crate::contender::{AcquireRelease, LockLibrary};
use crate::floor;
use crate::leasehold_client::LeaseholdClient;
use crate::own_calls;
use crate::slices::Plan;
use crate::table::Table;

/// Measures acquire and release, of one name by one task and of many names by many tasks.
pub(crate) async fn uncontended(
    url: &str,
    libraries: &[Arc<dyn LockLibrary>],
    plan: Plan,
) -> Result<Vec<Table>> {
    let mut contenders = floor::open(url, &many_names::names()).await?;
    for library in libraries {
        contenders.push(Arc::new(AcquireRelease(library.clone())));
    }
    contenders.extend(own_calls::open(url).await?);
    let one = acquire_release::measure(&contenders, plan).await?;
    // The ping decides nothing, so it is left out.
    contenders.remove(0);
    Ok(vec![one, many_names::measure(&contenders, plan).await?])
}

/// Measures a fair lock beside the plain one and the floor: acquire and release, and hand-overs.
pub(crate) async fn fair_lock(url: &str, plan: Plan) -> Result<Vec<Table>> {
    let libraries: [Arc<dyn LockLibrary>; 2] = [
        Arc::new(LeaseholdClient::by_url(url).await?),
        Arc::new(LeaseholdClient::by_url(url).await?.fair()),
    ];
    let mut tables = uncontended(url, &libraries, plan).await?;
    let named = contended::named(&libraries);
    // Workers open the libraries themselves, and servers limit the number of connections.
    drop(libraries);
    tables.push(hand_over::measure(url, &named, &hand_over::FAIR_SETTINGS, plan).await?);
    for table in &mut tables {
        // The plots of other measurements have the titles without this.
        table.title += ", with fair locks";
    }
    Ok(tables)
}
