//! The readers of this module, for the fuzzer.

use mongodb::bson::Document;

use super::record;
use crate::{LockRecord, Result};

/// A document that was read with the server's time.
pub fn record(document: &Document) -> Result<LockRecord> {
    record::record(document, "leasehold_locks", record::now(document)?)
}
