//! The watchdog is a small process that ends the command's group when the lease ends, because a
//! supervisor that is stopped, killed or disconnected cannot.
//!
//! The supervisor writes [`Order`]s to the watchdog's standard input, one per line; the end of
//! input means that the supervisor has ended. The watchdog replies with single bytes.

mod alarm;
mod decision;
mod handle;
mod process;

use std::fmt;
use std::time::Duration;

use leasehold::Moment;

use super::process_group::ProcessGroup;

pub(super) use handle::{Report, Watchdog};
pub(super) use process::main;

/// This hidden command starts the watchdog.
pub(super) const COMMAND: &str = "__watchdog";

/// The watchdog reports that it knows the group and the deadline.
const ARMED: u8 = b'a';

/// The watchdog reports that it is about to end the group.
const ENDING: u8 = b'e';

/// The supervisor sends these orders to the watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The watchdog has to end this group.
    Group(ProcessGroup),
    /// The lease ends at this moment on the machine's clock. Each deadline replaces the previous
    /// one.
    Deadline(Moment),
    /// The group was sent SIGTERM, so the watchdog must not send another.
    Terminated,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => writeln!(f, "group {}", group.id()),
            Self::Deadline(deadline) => {
                writeln!(f, "deadline {}", deadline.since_origin().as_nanos())
            }
            Self::Terminated => writeln!(f, "terminated"),
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
            None if line == "terminated" => Some(Self::Terminated),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_round_trip() {
        let group = ProcessGroup::new(4711).unwrap();
        let deadline = Moment::from_origin(Duration::new(7, 1));
        for order in [Order::Group(group), Order::Deadline(deadline), Order::Terminated] {
            let line = order.to_string();
            assert_eq!(Order::parse(line.strip_suffix('\n').unwrap()), Some(order));
        }
        for line in ["", "group", "group -1", "group 0", "deadline x", "deadline -1", "done"] {
            assert_eq!(Order::parse(line), None, "{line}");
        }
    }
}
