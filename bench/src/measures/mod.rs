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

use crate::contender::{AcquireRelease, Contender, LockLibrary};
use crate::floor;
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
