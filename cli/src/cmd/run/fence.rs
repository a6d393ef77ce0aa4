//! `run --fence` raises the fence of a database before the command is started.

use std::sync::Arc;

use leasehold::RaiseFence;

use crate::io::exit::Failure;
use crate::settings::configuration::CliConfiguration;

/// Opens the fence, if one is set. This makes no connection; raising the fence connects.
pub(super) async fn open(
    configuration: &CliConfiguration,
) -> Result<Option<Arc<dyn RaiseFence>>, Failure> {
    let Some(url) = &configuration.fence else { return Ok(None) };
    let fence = leasehold_fence::url::open(url.as_str(), &configuration.library.namespace).await;
    Ok(Some(fence?))
}
