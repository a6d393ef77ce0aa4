//! The ttl of a lease has bounds, which every store checks.

use std::time::Duration;

use crate::{Capabilities, Error, Result};

/// The longest ttl that any store grants is one day.
///
/// A longer ttl is usually a mistake in the unit, and blocks its name for that long after its
/// holder has died.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Checks that a store can grant this ttl; implementors call it before they write.
///
/// # Errors
/// This fails with [`Invalid`](crate::ErrorKind::Invalid); the message names the value and the
/// bounds.
pub fn check_ttl(ttl: Duration, capabilities: &Capabilities) -> Result<()> {
    let min = capabilities.min_ttl;
    if (min..=MAX_TTL).contains(&ttl) {
        Ok(())
    } else {
        Err(Error::invalid(format!("a ttl of {ttl:?} is out of range"))
            .with_fix(format!("use {min:?} to {MAX_TTL:?}")))
    }
}
