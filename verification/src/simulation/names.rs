//! This module defines the names of a simulation, and their numbers.

use leasehold_core::LockName;

use crate::history::NameId;

/// Turns numbers into names and back.
pub(super) struct NameTable;

impl NameTable {
    pub(super) fn name(number: NameId) -> String {
        format!("name-{number}")
    }

    pub(super) fn number(name: &LockName) -> NameId {
        name.as_str().trim_start_matches("name-").parse().unwrap_or_default()
    }
}
