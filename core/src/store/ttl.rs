//! How long a lease may last.

use std::time::Duration;

use crate::{Capabilities, Error, Result};

/// The longest lease that is granted by any store: one day.
///
/// A longer one is a mistake in a unit more often than a wish, and blocks its name for that long
/// when its holder dies.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Checks a ttl against what a store can grant, for implementors to call before they write.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid), naming the value and the bounds.
pub fn check_ttl(ttl: Duration, capabilities: &Capabilities) -> Result<()> {
    let min = capabilities.min_ttl;
    if (min..=MAX_TTL).contains(&ttl) {
        Ok(())
    } else {
        Err(Error::invalid(format!("a ttl of {ttl:?} is out of range"))
            .with_fix(format!("use {min:?} to {MAX_TTL:?}")))
    }
}
