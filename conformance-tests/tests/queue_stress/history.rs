//! The history of a name: all entries of its queue, as the events of all processes show them.

use std::collections::{BTreeMap, HashMap};

use leasehold_core::LeaseId;

use crate::event::{Ending, Event};

/// An entry, as far as it is known for certain. Times are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) token: u64,
    pub(crate) weight: u32,
    /// The first request that could make this entry was sent at this time.
    pub(crate) asked: u64,
    /// The first reply with this entry arrived at this time.
    pub(crate) entered: u64,
    /// The entry was live at least until this time: then it left, or may have expired.
    pub(crate) until: u64,
    /// The first reply that the entry holds the lock arrived at this time.
    pub(crate) granted: Option<u64>,
    /// A client trusted that it holds the lock, from the first of these times to the second.
    pub(crate) trusted: Option<(u64, u64)>,
}

/// The attempts of all clients have ended in these ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Endings {
    pub(crate) held: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
    pub(crate) timed_out: u64,
    pub(crate) failed: u64,
    /// The last transient failure had this reason.
    pub(crate) last_failure: String,
}

/// The events of all processes, put together.
#[derive(Debug, Default)]
pub(crate) struct History {
    attempts: HashMap<LeaseId, Attempt>,
    entries: BTreeMap<u64, (LeaseId, Entry)>,
    pub(crate) endings: Endings,
    /// This many clients have held the lock after they were told to finish.
    pub(crate) finished: usize,
    /// The events themselves show these faults.
    pub(crate) faults: Vec<String>,
}

/// An attempt has one lease, and one entry, or another one if that has expired.
#[derive(Debug)]
struct Attempt {
    weight: u32,
    asked: u64,
    token: Option<u64>,
    left: Option<u64>,
}

impl History {
    /// Adds an event. Those of one process are added in their order. No lease appears in two
    /// processes.
    pub(crate) fn add(&mut self, event: &Event) {
        match event {
            Event::Enters { lease, weight, at } => {
                let attempt = Attempt { weight: *weight, asked: *at, token: None, left: None };
                self.attempts.entry(*lease).or_insert(attempt);
            }
            Event::Stands { lease, token, sent, at, left, holds } => {
                let until = certainly_until(*sent, *left);
                self.stand(*lease, *token, (*sent, *at, until), *holds);
            }
            Event::Leaves { lease, at } => {
                if let Some(attempt) = self.attempts.get_mut(lease) {
                    attempt.left.get_or_insert(*at);
                }
            }
            Event::Trusted { token, from, to } => self.trust(*token, *from, *to),
            Event::Ended(ending) => self.end(ending),
            Event::Last { .. } => self.finished += 1,
        }
    }

    /// Records a reply with the times at which it was asked for and arrived, and until which the
    /// entry is live.
    fn stand(
        &mut self,
        lease: LeaseId,
        token: Option<u64>,
        (sent, at, until): (u64, u64, u64),
        holds: bool,
    ) {
        let Some(attempt) = self.attempts.get_mut(&lease) else {
            return self.faults.push(format!("the store renewed {lease}, which has not entered"));
        };
        attempt.token = token.or(attempt.token);
        let Some(token) = attempt.token else {
            // The reply to `enter` was lost, so the token is not known.
            return;
        };
        let Attempt { weight, asked, .. } = *attempt;
        let entry =
            Entry { token, weight, asked, entered: at, until, granted: None, trusted: None };
        let (of, entry) = self.entries.entry(token).or_insert((lease, entry));
        if *of != lease {
            return self.faults.push(format!("token {token} was given to two entries"));
        }
        // Replies may overtake each other.
        entry.entered = entry.entered.min(at);
        entry.until = entry.until.max(until);
        if holds {
            entry.granted = Some(entry.granted.map_or(at, |granted| granted.min(at)));
        } else if entry.granted.is_some_and(|granted| granted < sent) {
            self.faults.push(format!("token {token} held the lock, and waits again"));
        }
    }

    fn trust(&mut self, token: u64, from: u64, to: u64) {
        let Some((_, entry)) = self.entries.get_mut(&token) else {
            return self.faults.push(format!("token {token} is trusted, but no entry has it"));
        };
        let (first, last) = entry.trusted.unwrap_or((from, to));
        entry.trusted = Some((first.min(from), last.max(to)));
    }

    fn end(&mut self, ending: &Ending) {
        let endings = &mut self.endings;
        match ending {
            Ending::Held => endings.held += 1,
            Ending::Lost => endings.lost += 1,
            Ending::Refused => endings.refused += 1,
            Ending::TimedOut => endings.timed_out += 1,
            Ending::Failed { why, transient: true } => {
                endings.failed += 1;
                why.clone_into(&mut endings.last_failure);
            }
            Ending::Failed { why, transient: false } => {
                self.faults.push(format!("an attempt failed: {why}"));
            }
        }
    }

    /// Returns all entries, in the order of their tokens.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let left = |lease: &LeaseId| self.attempts.get(lease).and_then(|attempt| attempt.left);
        let ended = |(lease, entry): &(LeaseId, Entry)| Entry {
            until: entry.until.min(left(lease).unwrap_or(u64::MAX)),
            ..*entry
        };
        self.entries.values().map(ended).collect()
    }
}

/// Returns the time until which an entry is live for certain if the request that it replies to was
/// sent then. The store decides later than that, and its clock may be faster.
fn certainly_until(sent: u64, left: u64) -> u64 {
    sent + left - left / 20
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn stands(lease: LeaseId, token: Option<u64>, sent: u64, holds: bool) -> Event {
        let (sent, at) = (sent * MS, (sent + 1) * MS);
        Event::Stands { lease, token, sent, at, left: 1000 * MS, holds }
    }

    fn history(events: &[Event]) -> History {
        let mut history = History::default();
        events.iter().for_each(|event| history.add(event));
        history
    }

    #[test]
    fn an_entry_lasts_from_its_first_reply_until_it_leaves_or_may_have_expired() {
        let [one, two] = [LeaseId::new(), LeaseId::new()];
        let history = history(&[
            Event::Enters { lease: one, weight: 2, at: 5 * MS },
            stands(one, Some(7), 6, false),
            stands(one, None, 400, false),
            stands(one, None, 500, true),
            Event::Trusted { token: 7, from: 502 * MS, to: 510 * MS },
            Event::Trusted { token: 7, from: 502 * MS, to: 530 * MS },
            Event::Leaves { lease: one, at: 540 * MS },
            Event::Enters { lease: two, weight: 1, at: 20 * MS },
            stands(two, Some(9), 20, false),
        ]);
        let first = Entry {
            token: 7,
            weight: 2,
            asked: 5 * MS,
            entered: 7 * MS,
            until: 540 * MS,
            granted: Some(501 * MS),
            trusted: Some((502 * MS, 530 * MS)),
        };
        let second = Entry {
            token: 9,
            weight: 1,
            asked: 20 * MS,
            entered: 21 * MS,
            until: 970 * MS,
            granted: None,
            trusted: None,
        };
        assert_eq!(history.entries(), [first, second]);
        assert_eq!(history.faults, Vec::<String>::new());
    }

    #[test]
    fn a_reply_that_arrives_after_the_entry_was_told_to_leave_does_not_prolong_it() {
        let lease = LeaseId::new();
        let history = history(&[
            Event::Enters { lease, weight: 1, at: MS },
            Event::Leaves { lease, at: 3 * MS },
            stands(lease, Some(7), 1, true),
        ]);
        assert_eq!(history.entries()[0].until, 3 * MS);
    }

    #[test]
    fn faults_that_events_show_are_found() {
        let [one, two] = [LeaseId::new(), LeaseId::new()];
        let enters = |lease| Event::Enters { lease, weight: 1, at: 0 };
        let failed = Ending::Failed { why: "conflict".to_owned(), transient: false };
        let faulty: [&[Event]; 5] = [
            &[
                enters(one),
                enters(two),
                stands(one, Some(7), 1, true),
                stands(two, Some(7), 2, true),
            ],
            &[stands(one, None, 1, true)],
            &[enters(one), stands(one, Some(7), 1, true), stands(one, None, 3, false)],
            &[Event::Trusted { token: 7, from: 1, to: 2 }],
            &[Event::Ended(failed)],
        ];
        for events in faulty {
            assert_eq!(history(events).faults.len(), 1, "{events:?}");
        }
    }
}
