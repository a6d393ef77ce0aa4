//! These contenders make the calls of an uncontended lock without the engine, and on Redis without
//! the store. The differences show which part takes how much of a lock's time.

mod redis_scripts;
mod store_alone;

use std::sync::Arc;

use anyhow::Result;

use crate::contender::Contender;
use crate::url::scheme;

/// Opens the store without the engine and, on Redis, the driver with the store's scripts.
pub(crate) async fn open(url: &str) -> Result<Vec<Arc<dyn Contender>>> {
    let mut contenders: Vec<Arc<dyn Contender>> = vec![Arc::new(store_alone::open(url).await?)];
    if scheme(url) == "redis" {
        contenders.push(Arc::new(redis_scripts::open(url).await?));
    }
    Ok(contenders)
}
