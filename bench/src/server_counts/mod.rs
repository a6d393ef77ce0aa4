//! Reads what a server itself counts: the calls of all clients, its writes and its connections.

mod counts;
mod etcd;
mod mongodb;
mod mysql;
mod postgres;
mod redis;

use std::sync::Arc;

use anyhow::Result;

pub(crate) use counts::{Counts, CountsReader};

use crate::url::scheme;

/// A server that does not count has no reader.
pub(crate) type Reader = Option<Arc<dyn CountsReader>>;

/// Returns the reader of that server. A server that does not count is not an error.
pub(crate) async fn open(url: &str) -> Reader {
    match reader(url).await {
        Ok(reader) => reader,
        Err(error) => {
            eprintln!("the server's own counts are left out: {error:#}");
            None
        }
    }
}

async fn reader(url: &str) -> Result<Reader> {
    let reader: Arc<dyn CountsReader> = match scheme(url) {
        "postgres" => Arc::new(postgres::open(url).await?),
        "mysql" => Arc::new(mysql::open(url).await?),
        "redis" => Arc::new(redis::open(url).await?),
        "mongodb" => Arc::new(mongodb::open(url).await?),
        "etcd" => Arc::new(etcd::open(url)),
        _ => return Ok(None),
    };
    // A server that refuses is noticed here, and not during a measurement.
    reader.read().await?;
    Ok(Some(reader))
}

/// Reads the counts of now, or `None` if they cannot be read.
pub(crate) async fn read(reader: &Reader) -> Option<Counts> {
    reader.as_ref()?.read().await.ok()
}

/// Returns what was added between two readings.
pub(crate) fn between(before: Option<Counts>, after: Option<Counts>) -> Option<Counts> {
    Some(after?.since(before?))
}
