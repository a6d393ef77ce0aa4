//! Decides which of the servers that sentinels name is the primary, without I/O.

use super::address::Address;

/// The server that a sentinel names, and the epoch of the failover that made it the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vote {
    pub(super) address: Address,
    pub(super) epoch: u64,
}

/// Returns the servers to try, in order, according to the present and earlier answers of the
/// sentinels.
///
/// A failover takes a majority of the sentinels, which give it an epoch, so the highest epoch
/// decides: a sentinel that was cut off still names the old primary under a lower one. If epochs
/// are equal, the server that a majority of all sentinels names comes first, then the previous one.
fn candidates(votes: &[Vote], sentinels: usize, before: Option<&Vote>) -> Vec<Vote> {
    let Some(epoch) = votes.iter().chain(before).map(|vote| vote.epoch).max() else {
        return Vec::new();
    };
    let mut named = Vec::<(&Address, usize)>::new();
    for vote in votes.iter().chain(before).filter(|vote| vote.epoch == epoch) {
        if !named.iter().any(|(address, _)| **address == vote.address) {
            let count = votes.iter().filter(|other| other.address == vote.address).count();
            named.push((&vote.address, count));
        }
    }
    let is_before = |address: &Address| before.is_some_and(|before| before.address == *address);
    named.sort_by_key(|(address, count)| {
        std::cmp::Reverse((count * 2 > sentinels, is_before(address), *count))
    });
    named.into_iter().map(|(address, _)| Vote { address: address.clone(), epoch }).collect()
}

/// If most sentinels name another server with a lower epoch this often in a row, that server is
/// used. Right after a failover, sentinels that have not learnt of it do so for about two seconds.
const RENAMED: u32 = 10;

/// The latest vote that decided, and the votes that are now ignored.
#[derive(Debug, Default)]
pub(super) struct VoteHistory {
    pub(super) primary: Option<Vote>,
    /// The previous votes that most sentinels overruled with a lower epoch. A sentinel that still
    /// votes so is ignored, unless most name that server again.
    overruled: Vec<Vote>,
}

impl VoteHistory {
    /// Returns the servers to try, in order.
    pub(super) fn candidates(&mut self, votes: &[Vote], sentinels: usize) -> Vec<Vote> {
        self.overruled.retain(|overruled| !has_majority(&overruled.address, votes, sentinels));
        let counted: Vec<_> =
            votes.iter().filter(|vote| !self.overruled.contains(vote)).cloned().collect();
        candidates(&counted, sentinels, self.primary.as_ref())
    }

    /// Remembers a primary to which a connection was opened, unless a later one is known.
    pub(super) fn connected_to(&mut self, primary: Vote) {
        let is_later = self.primary.as_ref().is_none_or(|known| known.epoch <= primary.epoch);
        if is_later && !self.overruled.contains(&primary) {
            self.primary = Some(primary);
        }
    }

    /// Evaluates the latest votes. Returns the previous primary and the next one if they differ.
    ///
    /// `lower` counts how often most sentinels named another server with a lower epoch.
    pub(super) fn record_votes(
        &mut self,
        votes: &[Vote],
        sentinels: usize,
        lower: &mut u32,
    ) -> Option<(Vote, Vote)> {
        let before = self.primary.clone()?;
        let renamed = renamed(votes, sentinels, &before);
        *lower = if renamed.is_some() { *lower + 1 } else { 0 };
        let next = match renamed {
            Some(renamed) if *lower >= RENAMED => {
                self.overruled.push(before.clone());
                renamed
            }
            _ => self.candidates(votes, sentinels).into_iter().next()?,
        };
        if next == before {
            return None;
        }
        self.primary = Some(next.clone());
        Some((before, next))
    }
}

fn has_majority(address: &Address, votes: &[Vote], sentinels: usize) -> bool {
    votes.iter().filter(|vote| vote.address == *address).count() * 2 > sentinels
}

/// Returns the server that most sentinels name with a lower epoch than before, as after the service
/// was removed from them and added again.
fn renamed(votes: &[Vote], sentinels: usize, before: &Vote) -> Option<Vote> {
    votes
        .iter()
        .filter(|vote| vote.address != before.address && vote.epoch < before.epoch)
        .find(|vote| has_majority(&vote.address, votes, sentinels))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(host: &str, epoch: u64) -> Vote {
        Vote { address: Address { host: host.to_owned(), port: 1 }, epoch }
    }

    #[test]
    fn the_highest_epoch_decides_and_then_the_majority() {
        let cases = [
            (vec![], None, vec![]),
            (vec![vote("old", 1), vote("new", 2), vote("old", 1)], None, vec![vote("new", 2)]),
            (
                vec![vote("a", 0), vote("b", 0), vote("b", 0)],
                None,
                vec![vote("b", 0), vote("a", 0)],
            ),
            // A sentinel that is cut off does not lead back to the old primary.
            (vec![vote("old", 1)], Some(vote("new", 2)), vec![vote("new", 2)]),
            (vec![vote("new", 2)], Some(vote("old", 1)), vec![vote("new", 2)]),
            (vec![vote("b", 1)], Some(vote("a", 1)), vec![vote("a", 1), vote("b", 1)]),
            (
                vec![vote("b", 1), vote("b", 1)],
                Some(vote("a", 1)),
                vec![vote("b", 1), vote("a", 1)],
            ),
            (vec![], Some(vote("a", 1)), vec![vote("a", 1)]),
        ];
        for (votes, before, expected) in cases {
            assert_eq!(candidates(&votes, 3, before.as_ref()), expected, "{votes:?}");
        }
    }

    #[test]
    fn a_re_added_service_is_decided_by_majority() {
        let before = vote("old", 7);
        let two = [vote("new", 0), vote("old", 7), vote("new", 0)];
        assert_eq!(renamed(&two, 3, &before), Some(vote("new", 0)));
        assert_eq!(renamed(&two[..2], 3, &before), None);
        assert_eq!(renamed(&[vote("old", 7), vote("old", 7)], 3, &before), None);
        assert_eq!(renamed(&[vote("new", 8), vote("new", 8)], 3, &before), None);
    }
    #[test]
    fn a_stale_sentinel_does_not_revive_the_old_primary() {
        let (old, new) = (vote("old", 7), vote("new", 0));
        let mut history = VoteHistory { primary: Some(old.clone()), ..VoteHistory::default() };
        let votes = [new.clone(), old.clone(), new.clone()];
        let mut lower = 0;
        let changes: Vec<_> =
            (0..30).filter_map(|_| history.record_votes(&votes, 3, &mut lower)).collect();
        assert_eq!(changes, [(old.clone(), new.clone())]);
        // Neither does it when the others are silent for a while, or for a new connection.
        assert_eq!(history.record_votes(&votes[..2], 3, &mut lower), None);
        assert_eq!(history.candidates(&votes[1..2], 3), std::slice::from_ref(&new));
        // A failover of the service as it is now counts.
        let later = [vote("other", 1), old.clone(), new.clone()];
        assert_eq!(history.record_votes(&later, 3, &mut lower), Some((new, vote("other", 1))));
        // So does the old server once most sentinels name it again.
        let back = [old.clone(), old.clone(), vote("other", 1)];
        assert_eq!(history.record_votes(&back, 3, &mut lower), Some((vote("other", 1), old)));
    }
}
