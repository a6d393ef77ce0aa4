//! The watchdog is a small process that ends the command's group when the lease ends, because a
//! supervisor that is stopped, killed or disconnected cannot.
//!
//! If the supervisor was killed, the watchdog also releases the lease, but only once the command has
//! certainly ended; otherwise the lease expires.
//!
//! The supervisor writes [`Order`]s to the watchdog's standard input, one per line; the end of
//! input means that the supervisor has ended. The watchdog replies with single bytes.

mod alarm;
mod decision;
mod handle;
mod held_lease;
mod process;
mod release;
mod stderr;

use std::fmt;
use std::time::Duration;

use leasehold::Moment;

use super::process_group::ProcessGroup;

pub(super) use handle::{Report, Watchdog};
pub(super) use held_lease::HeldLease;
pub(super) use process::main;

/// This hidden command starts the watchdog.
pub(super) const COMMAND: &str = "__watchdog";

/// The watchdog reports that it knows the group and the deadline.
const ARMED: u8 = b'a';

/// The watchdog reports that it is about to end the group.
const ENDING: u8 = b'e';

/// The supervisor sends these orders to the watchdog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The watchdog has to end this group.
    Group(ProcessGroup),
    /// The lease ends at this moment on the machine's clock. Each deadline replaces the previous
    /// one.
    Deadline(Moment),
    /// The group was sent SIGTERM, so the watchdog must not send another.
    Terminated,
    /// The watchdog releases this lease if the supervisor ends without it, once the group has ended.
    /// Only this pipe tells it the store's URL, which may contain a password.
    Lease(Box<HeldLease>),
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => writeln!(f, "group {}", group.id()),
            Self::Deadline(deadline) => {
                writeln!(f, "deadline {}", deadline.since_origin().as_nanos())
            }
            Self::Terminated => writeln!(f, "terminated"),
            // JSON escapes the line breaks of a name.
            Self::Lease(lease) => {
                writeln!(f, "lease {}", serde_json::to_string(lease).map_err(|_| fmt::Error)?)
            }
        }
    }
}

impl Order {
    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ') {
            Some(("group", id)) => ProcessGroup::new(id.parse().ok()?).map(Self::Group),
            Some(("deadline", nanos)) => {
                let elapsed = Duration::from_nanos(nanos.parse().ok()?);
                Some(Self::Deadline(Moment::from_origin(elapsed)))
            }
            Some(("lease", json)) => serde_json::from_str(json).ok().map(Self::Lease),
            None if line == "terminated" => Some(Self::Terminated),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: &str = r#"{
        "name": "a\nb", "lease": "01890a5d-ac96-774b-bcce-b302099a8057", "token": 7, "json": true,
        "in_queue": true,
        "store": {
            "url": "postgres://u:secret@h/d", "namespace": "leasehold", "max_connections": null
        }
    }"#;

    #[test]
    fn orders_round_trip() {
        let group = ProcessGroup::new(4711).unwrap();
        let deadline = Moment::from_origin(Duration::new(7, 1));
        let lease: Box<HeldLease> = serde_json::from_str(LEASE).unwrap();
        assert!(!format!("{lease:?}").contains("secret"));
        let lease = Order::Lease(lease);
        for order in [Order::Group(group), Order::Deadline(deadline), Order::Terminated, lease] {
            let line = order.to_string();
            assert_eq!(line.lines().count(), 1, "{line}");
            assert_eq!(Order::parse(line.strip_suffix('\n').unwrap()), Some(order));
        }
        for line in
            ["", "group", "group -1", "group 0", "deadline x", "deadline -1", "lease {}", "done"]
        {
            assert_eq!(Order::parse(line), None, "{line}");
        }
    }
}
