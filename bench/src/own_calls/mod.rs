//! The calls that Leasehold makes, without the parts that make them: they show where the time of a
//! lock goes.

mod redis_scripts;
mod store_alone;

use std::sync::Arc;

use anyhow::Result;

use crate::contender::Contender;
use crate::url::scheme;

/// Opens the store without its engine and, on Redis, the driver without the store.
pub(crate) async fn open(url: &str) -> Result<Vec<Arc<dyn Contender>>> {
    let mut contenders: Vec<Arc<dyn Contender>> = vec![Arc::new(store_alone::open(url).await?)];
    if scheme(url) == "redis" {
        contenders.push(Arc::new(redis_scripts::open(url).await?));
    }
    Ok(contenders)
}
