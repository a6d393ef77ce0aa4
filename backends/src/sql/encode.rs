//! The SQL stores bind these values as JSON.

use super::row::ttl_micros;
use crate::{Error, Holder, RenewOptions, Result};

/// Returns the text that is kept of a holder.
pub(crate) fn holder(holder: &Holder) -> Result<String> {
    serde_json::to_string(holder)
        .map_err(|error| Error::invalid("the holder cannot be encoded as JSON").with_source(error))
}

/// Returns an array of `[name, lease, ttl]`, with the ttl in microseconds.
pub(crate) fn leases(leases: &[&RenewOptions]) -> Result<String> {
    let leases: Vec<_> = leases
        .iter()
        .map(|lease| (lease.name.as_str(), lease.lease.to_string(), ttl_micros(lease.ttl)))
        .collect();
    serde_json::to_string(&leases)
        .map_err(|error| Error::invalid("the leases cannot be encoded as JSON").with_source(error))
}
