//! A lease id identifies an acquisition attempt and its lease.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::new_id;
use crate::{Error, ErrorKind, Result};

/// A lease id identifies one acquisition attempt, and the lease if it is granted (a UUIDv7).
///
/// It is the holder's secret proof: a renew and a release change only the lease of that id. A retry
/// of the same attempt has the same id and gets the same grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LeaseId(Uuid);

impl LeaseId {
    /// Creates a new id, for a new attempt.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "two calls differ, which no default should")]
    pub fn new() -> Self {
        Self(new_id())
    }

    /// Creates an id from a stored UUID.
    #[must_use]
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the UUID for a store to keep.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for LeaseId {
    type Err = Error;

    /// Parses the form that `Display` writes. UUIDs have other forms, but stores compare ids as
    /// text: an id in another form would match in one store and not in another.
    fn from_str(text: &str) -> Result<Self> {
        let invalid =
            || Error::new(ErrorKind::Corrupt, format!("{text:?} is not a valid lease id"));
        let id = Uuid::parse_str(text).map(Self).map_err(|error| invalid().with_source(error))?;
        if id.to_string() == text { Ok(id) } else { Err(invalid()) }
    }
}

impl TryFrom<String> for LeaseId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<LeaseId> for String {
    fn from(id: LeaseId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_id_has_one_text_form() {
        let id = LeaseId::new();
        let text = id.to_string();
        assert_eq!(text.parse::<LeaseId>().unwrap(), id);
        assert_eq!(serde_json::to_value(id).unwrap(), text.as_str());
        assert_eq!(serde_json::from_value::<LeaseId>(text.as_str().into()).unwrap(), id);
        for other in [format!("{{{text}}}"), format!("urn:uuid:{text}"), text.replace('-', "")] {
            assert_eq!(other.parse::<LeaseId>().unwrap_err().kind(), ErrorKind::Corrupt);
            assert!(serde_json::from_value::<LeaseId>(other.into()).is_err());
        }
        let capitals = "01890A5D-AC96-774B-BCCE-B302099A8057";
        assert!(capitals.parse::<LeaseId>().is_err());
        assert!(capitals.to_lowercase().parse::<LeaseId>().is_ok());
    }
}
