//! Which instances of the application there are, to be shown to people and programs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Holder, LockName};

/// What an instance makes known of itself: who it is, and what it would lead.
///
/// Nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Who it is.
    pub holder: Holder,
    /// The names that it campaigns for, in their byte order, those included that it leads; at most
    /// [`LISTED`](Self::LISTED).
    pub campaigns: Vec<LockName>,
    /// How many more names it campaigns for.
    #[serde(default)]
    pub unlisted: usize,
}

impl Presence {
    /// So many names are made known at most, lest records grow without bounds.
    pub const LISTED: usize = 500;
}

/// What a store knows of an instance, as of one moment on its clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRecord {
    /// What the instance said last.
    pub presence: Presence,
    /// For how much longer it is known if it says nothing more.
    pub left: Duration,
}
