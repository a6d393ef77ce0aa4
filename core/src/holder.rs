//! Who holds a lock.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::new_id;

/// Who holds a lock, for people to read: nothing is decided by it.
///
/// What proves a holder's right is its [`LeaseId`](crate::LeaseId).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// This instance of the application, new at every start.
    pub instance: Uuid,
    /// The host's name; empty where it cannot be told.
    pub host: String,
    /// The process on that host.
    pub pid: u32,
    /// What the application calls this instance, such as `10.0.0.7:8080`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Holder {
    /// This process on this host, under a new instance id.
    #[must_use]
    pub fn current() -> Self {
        Self { instance: new_id(), host: host_name(), pid: std::process::id(), label: None }
    }

    /// With the application's own name for this instance.
    #[must_use]
    pub fn with_label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }
}

impl fmt::Display for Holder {
    /// `label (host pid 4711)`, or `host pid 4711` without a label.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, pid, label, .. } = self;
        match label {
            Some(label) => write!(f, "{label} ({host} pid {pid})"),
            None => write!(f, "{host} pid {pid}"),
        }
    }
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
