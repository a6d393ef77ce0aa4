//! Gives the fuzzer access to the readers of this module.

use mongodb::bson::Document;

use super::record;
use crate::{LockRecord, Result};

/// Parses a document that was read with the server's time.
pub fn record(document: &Document) -> Result<LockRecord> {
    record::record(document, "leasehold_locks", record::now(document)?)
}
