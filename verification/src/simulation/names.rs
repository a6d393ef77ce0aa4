//! The names of a simulation, by their numbers.

use leasehold_core::LockName;

use crate::history::Name;

/// Turns numbers into names and back.
pub(super) struct Names;

impl Names {
    pub(super) fn name(number: Name) -> String {
        format!("name-{number}")
    }

    pub(super) fn number(name: &LockName) -> Name {
        name.as_str().trim_start_matches("name-").parse().unwrap_or_default()
    }
}
