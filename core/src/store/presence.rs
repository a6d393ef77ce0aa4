//! Instance records show people and programs which instances of the application exist.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Holder, LockName};

/// A presence is the announcement of an instance: its identity, and the names it campaigns for.
///
/// It is for display only: no decision depends on it. It is renewed once per ttl and lasts for two,
/// so an instance that died stays listed for between one and two ttls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Presence {
    /// This instance makes the announcement.
    pub holder: Holder,
    /// It campaigns for these names, which are in byte order and include those that it leads. There
    /// are at most [`MAX_LISTED`](Self::MAX_LISTED).
    pub campaigns: Vec<LockName>,
    /// It campaigns for this many further names.
    #[serde(default)]
    pub unlisted: usize,
}

impl Presence {
    /// A presence lists at most this many names, so that records do not grow without bounds.
    pub const MAX_LISTED: usize = 500;

    /// Announces this instance, which campaigns for these names and no others.
    #[must_use]
    pub const fn new(holder: Holder, campaigns: Vec<LockName>) -> Self {
        Self { holder, campaigns, unlisted: 0 }
    }

    /// Sets the [number of further names](Self::unlisted).
    #[must_use]
    pub fn with_unlisted(self, unlisted: usize) -> Self {
        Self { unlisted, ..self }
    }
}

/// An instance record is what a store knows about an instance at one moment on the store's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceRecord {
    /// This is the latest announcement of the instance.
    pub presence: Presence,
    /// The record expires after this time, unless the instance announces itself again.
    pub left: Duration,
}

impl InstanceRecord {
    /// Describes an announcement that is kept for that much longer.
    #[must_use]
    pub const fn new(presence: Presence, left: Duration) -> Self {
        Self { presence, left }
    }
}
