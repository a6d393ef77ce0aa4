//! A holder identifies the instance that holds a lock.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::new_id;

/// A holder describes the instance that holds a lock, for people: no decision depends on it.
///
/// The proof that an instance holds the lock is its [`LeaseId`](crate::LeaseId).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holder {
    /// The application's instance has this id, which is new at every start.
    pub instance: Uuid,
    /// The host has this name, which is empty if it cannot be determined.
    pub host: String,
    /// The process has this id on that host.
    pub pid: u32,
    /// The application gave its instance this label, such as `10.0.0.7:8080`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Holder {
    /// Describes an instance without a label.
    #[must_use]
    pub fn new(instance: Uuid, host: impl Into<String>, pid: u32) -> Self {
        Self { instance, host: host.into(), pid, label: None }
    }

    /// Returns this process on this host, with a new instance id.
    #[must_use]
    pub fn current() -> Self {
        Self::new(new_id(), host_name(), std::process::id())
    }

    /// Sets the application's label for this instance.
    #[must_use]
    pub fn with_label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }
}

impl fmt::Display for Holder {
    /// Writes `label (host pid 4711)`, or `host pid 4711` without a label.
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
