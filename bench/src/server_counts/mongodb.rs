//! MongoDB counts operations and connections in `serverStatus`.

use anyhow::{Context, Result};
use async_trait::async_trait;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Database};

use super::counts::{Counts, CountsReader};

/// `command` has all commands that are not one of the others, `findAndModify` among them.
const OPERATIONS: [&str; 6] = ["insert", "query", "update", "delete", "getmore", "command"];

pub(super) struct MongoDb(Database);

pub(super) async fn open(url: &str) -> Result<MongoDb> {
    Ok(MongoDb(Client::with_uri_str(url).await?.database("admin")))
}

#[async_trait]
impl CountsReader for MongoDb {
    async fn read(&self) -> Result<Counts> {
        let status = self.0.run_command(doc! { "serverStatus": 1 }).await?;
        let operations = status.get_document("opcounters").context("no operations are counted")?;
        let connections = status.get_document("connections").ok();
        let of_connections = |name: &str| connections.and_then(|counts| number(counts, name));
        Ok(Counts {
            calls: OPERATIONS.iter().filter_map(|name| number(operations, name)).sum(),
            writes: None,
            opened: of_connections("totalCreated"),
            open: of_connections("current"),
        })
    }
}

fn number(counts: &Document, name: &str) -> Option<f64> {
    match counts.get(name)? {
        Bson::Int32(value) => Some(f64::from(*value)),
        Bson::Int64(value) => Some(*value as f64),
        Bson::Double(value) => Some(*value),
        _ => None,
    }
}
