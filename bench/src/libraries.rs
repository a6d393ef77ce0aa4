//! All lock libraries that are measured on a server.

use std::sync::Arc;

use anyhow::{Context, Result};

use crate::contender::LockLibrary;
use crate::floor::{self, FLOOR};
use crate::leasehold_client::{FAIR, LEASEHOLD, LeaseholdClient, OWN_POOL};
use crate::peers;

/// Opens all libraries on that server, Leasehold first.
pub(crate) async fn open_all(url: &str) -> Result<Vec<Arc<dyn LockLibrary>>> {
    let mut libraries: Vec<Arc<dyn LockLibrary>> = vec![
        Arc::new(LeaseholdClient::by_url(url).await?),
        Arc::new(LeaseholdClient::on_own_pool(url).await?),
    ];
    libraries.extend(peers::open(url).await?);
    Ok(libraries)
}

/// Opens the library of that name, as a worker does.
pub(crate) async fn open(name: &str, url: &str) -> Result<Arc<dyn LockLibrary>> {
    match name {
        LEASEHOLD => Ok(Arc::new(LeaseholdClient::by_url(url).await?)),
        FAIR => Ok(Arc::new(LeaseholdClient::by_url(url).await?.fair())),
        FLOOR => floor::hand_over::open(url).await,
        OWN_POOL => Ok(Arc::new(LeaseholdClient::on_own_pool(url).await?)),
        _ => {
            let peers = peers::open(url).await?;
            let named = peers.into_iter().find(|peer| peer.name() == name);
            named.with_context(|| format!("unknown library \"{name}\""))
        }
    }
}
