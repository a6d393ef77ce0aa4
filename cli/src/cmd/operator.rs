//! This module names the operator who runs a command, and describes a disable.

use leasehold::{Disablement, Holder};

use crate::io::table::visible;

/// Describes why a name is disabled, and by whom.
pub(super) fn why(disabled: &Disablement) -> String {
    let by = disabled.by.as_ref().map(|by| format!(", by {}", visible(by))).unwrap_or_default();
    visible(disabled.reason.as_str()) + &by
}

/// Returns the operator who runs this command as user@host, as far as both are known.
pub(super) fn operator() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .filter_map(|variable| std::env::var(variable).ok())
        .find(|user| !user.is_empty())
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    format!("{user}@{}", Holder::current().host)
}
