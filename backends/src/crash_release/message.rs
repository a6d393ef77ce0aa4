//! The application sends messages to its helper, one per line.

use serde_json::{from_str, to_string};

use crate::store_address::StoreAddress;
use crate::{LeaseId, LockName};

/// The application tells its helper this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The process with this id is the application, whose leases are in this store. This comes
    /// first.
    Start(u32, StoreAddress),
    /// The application holds this lease of that name.
    Held(LockName, LeaseId),
    /// The application has an entry with this lease in the queue of that name.
    Entered(LockName, LeaseId),
    /// The lease was released or lost, or the entry left.
    Ended(LeaseId),
}

impl Message {
    /// Returns the message as a line. JSON escapes the line breaks of a name.
    pub(super) fn line(&self) -> serde_json::Result<String> {
        let (kind, json) = match self {
            Self::Start(process, address) => ("start", to_string(&(process, address))?),
            Self::Held(name, lease) => ("held", to_string(&(name, lease))?),
            Self::Entered(name, lease) => ("entered", to_string(&(name, lease))?),
            Self::Ended(lease) => ("ended", to_string(lease)?),
        };
        Ok(format!("{kind} {json}\n"))
    }

    /// Parses a line without its line break.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let (kind, json) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        match kind {
            "start" => {
                let (process, address) = from_str(json).ok()?;
                Some(Self::Start(process, address))
            }
            "held" => {
                let (name, lease) = from_str(json).ok()?;
                Some(Self::Held(name, lease))
            }
            "entered" => {
                let (name, lease) = from_str(json).ok()?;
                Some(Self::Entered(name, lease))
            }
            "ended" => from_str(json).ok().map(Self::Ended),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Namespace, OpenOptions};

    #[test]
    fn messages_round_trip() {
        let options = OpenOptions::default()
            .with_namespace(Namespace::new("billing").unwrap())
            .with_max_connections(std::num::NonZeroU32::new(3));
        let address = StoreAddress::new("postgres://u:secret@h/d", &options);
        assert!(!format!("{address:?}").contains("secret"));
        let (name, lease) = (LockName::new("a\nb \"c\"").unwrap(), LeaseId::new());
        for message in [
            Message::Start(7, address),
            Message::Held(name.clone(), lease),
            Message::Entered(name, lease),
            Message::Ended(lease),
        ] {
            let line = message.line().unwrap();
            assert_eq!(line.lines().count(), 1, "{line}");
            assert_eq!(Message::parse(line.trim_end().as_bytes()), Some(message));
        }
        for line in ["", "start", "start 7", "held []", "ended 7", "ended", "other {}"] {
            assert_eq!(Message::parse(line.as_bytes()), None, "{line}");
        }
        assert_eq!(Message::parse(b"held \xff"), None);
    }
}
