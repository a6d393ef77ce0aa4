//! A call that waits for a lock with a queue knows its position there, and reports it.

use crate::{Holder, Queued, RenewOutcome, Result};

/// A position says how many are ahead of a call that waits for a lock with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Position {
    /// This many entries are ahead in the lock's queue, of all clients: those that hold the lock,
    /// and those that wait for it.
    pub ahead: usize,
}

/// A queue progress has what a waiting call knows of its entry in a queue. It reports each new
/// position to the caller.
pub(super) struct QueueProgress<'a> {
    on_position: &'a mut (dyn FnMut(Position) + Send),
    /// The latest position that was reported has this many entries ahead.
    reported: Option<usize>,
    /// When the call entered the queue, this instance had the first entry.
    first: Option<FirstEntry>,
    /// The latest description says how many entries are ahead.
    described: bool,
}

struct FirstEntry {
    holder: Holder,
    /// This many entries were ahead then. None of them has left while the number is the same.
    ahead: usize,
}

impl<'a> QueueProgress<'a> {
    pub(super) fn new(on_position: &'a mut (dyn FnMut(Position) + Send)) -> Self {
        Self { on_position, reported: None, first: None, described: false }
    }

    /// Records that the call has entered the queue and waits, and describes that.
    pub(super) fn entered(&mut self, queued: &Queued) -> String {
        let first = FirstEntry { holder: queued.held.holder.clone(), ahead: queued.ahead };
        self.first = Some(first);
        self.report(queued.ahead);
        self.describe(queued.ahead)
    }

    /// Records the outcome of a renewal, and describes what is new in it, if there is anything.
    pub(super) fn renewed(&mut self, outcome: &Result<RenewOutcome>) -> Option<String> {
        match outcome {
            Ok(RenewOutcome::Queued { ahead, .. }) => {
                let is_new = self.report(*ahead) || !self.described;
                is_new.then(|| self.describe(*ahead))
            }
            Err(error) => {
                self.described = false;
                Some(error.to_string())
            }
            // The call gets the lock or makes another attempt.
            Ok(_) => None,
        }
    }

    /// Reports the position to the caller if it is a new one, and returns whether it is.
    fn report(&mut self, ahead: usize) -> bool {
        let is_new = self.reported.replace(ahead) != Some(ahead);
        if is_new {
            (self.on_position)(Position { ahead });
        }
        is_new
    }

    fn describe(&mut self, ahead: usize) -> String {
        self.described = true;
        let others = if ahead == 1 { "1 other".to_owned() } else { format!("{ahead} others") };
        match &self.first {
            None => format!("waiting behind {others}"),
            Some(first) if first.ahead == ahead => {
                format!("waiting behind {others}; held by {}", first.holder)
            }
            Some(first) => {
                let holder = &first.holder;
                format!("waiting behind {others}; held by {holder} when the wait began")
            }
        }
    }
}
