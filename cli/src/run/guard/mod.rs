//! The guard: a small process that ends the command's group when the lease ends, because the
//! supervisor may be stopped, killed or cut off, and then cannot.
//!
//! The supervisor writes [`Order`]s to the guard's standard input, a line each; the end of it
//! means that the supervisor is gone. The guard answers with single bytes.

mod alarm;
mod handle;
mod process;
mod watch;

use std::fmt;
use std::time::Duration;

use leasehold::Moment;

use super::group::Group;

pub(super) use handle::{Guard, Report};
pub(super) use process::main;

/// The hidden command that the guard is.
pub(super) const COMMAND: &str = "__guard";

/// The guard knows the group and the deadline, and will keep them apart.
const ARMED: u8 = b'a';

/// The guard is ending the group; said before it does.
const ENDING: u8 = b'e';

/// What the supervisor tells the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Which group to end.
    Group(Group),
    /// When its lease ends, on the machine's clock. Each takes the place of the one before.
    Deadline(Moment),
    /// The group was sent SIGTERM: it needs no other.
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
            Some(("group", id)) => Group::new(id.parse().ok()?).map(Self::Group),
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
    fn orders_are_read_as_they_were_written() {
        let group = Group::new(4711).unwrap();
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
