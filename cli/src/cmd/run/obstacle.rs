//! An obstacle is what keeps this instance from running the command, in words.

use leasehold::election::Status;

use crate::io::table::visible;

/// These are the obstacles that the status of the election has shown.
#[derive(Debug, Default)]
pub(super) struct Obstacles {
    /// This many entries were ahead of the one that waits when it was first seen in the queue.
    first_ahead: Option<usize>,
}

impl Obstacles {
    /// Describes why this instance cannot lead.
    pub(super) fn describe(&mut self, status: &Status) -> Option<String> {
        if let Some(disabled) = &status.disabled {
            return Some(format!("disabled: {}", visible(disabled.reason.as_str())));
        }
        let holder = status.leader.as_ref();
        let holder = holder.map(|holder| format!("held by {}", visible(&holder.to_string())));
        self.first_ahead = status.ahead.map(|ahead| self.first_ahead.unwrap_or(ahead));
        let Some(ahead) = status.ahead else { return holder };
        let others = if ahead == 1 { "1 other".to_owned() } else { format!("{ahead} others") };
        let then = match holder {
            // The holder is known from the moment when the entry was made.
            Some(holder) if self.first_ahead == Some(ahead) => format!("; {holder}"),
            Some(holder) => format!("; {holder} when the wait began"),
            None => String::new(),
        };
        Some(format!("behind {others} in its queue{then}"))
    }
}

#[cfg(test)]
mod tests {
    use leasehold::{Disablement, Holder, Reason};

    use super::*;

    #[test]
    fn a_queue_is_described_by_the_position() {
        let mut obstacles = Obstacles::default();
        let mut status = Status::default();
        assert_eq!(obstacles.describe(&status), None);
        let holder = Holder::current();
        status.leader = Some(holder.clone());
        assert_eq!(obstacles.describe(&status), Some(format!("held by {holder}")));
        status.ahead = Some(2);
        let expected = format!("behind 2 others in its queue; held by {holder}");
        assert_eq!(obstacles.describe(&status), Some(expected));
        status.ahead = Some(1);
        let expected = format!("behind 1 other in its queue; held by {holder} when the wait began");
        assert_eq!(obstacles.describe(&status), Some(expected));
        status.disabled = Some(Disablement::new(Reason::new("upkeep").unwrap()));
        assert_eq!(obstacles.describe(&status).as_deref(), Some("disabled: upkeep"));
    }
}
