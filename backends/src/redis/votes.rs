//! Decides which of the servers that sentinels name is the primary, without I/O.

use super::place::Address;

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
pub(super) fn candidates(votes: &[Vote], sentinels: usize, before: Option<&Vote>) -> Vec<Vote> {
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

/// Returns the server that most sentinels name with a lower epoch than before, as after the service
/// was removed from them and added again.
pub(super) fn renamed(votes: &[Vote], sentinels: usize, before: &Vote) -> Option<Vote> {
    votes
        .iter()
        .filter(|vote| vote.address != before.address && vote.epoch < before.epoch)
        .find(|vote| {
            let agree = votes.iter().filter(|other| other.address == vote.address).count();
            agree * 2 > sentinels
        })
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
    fn a_service_that_was_added_again_is_named_by_most() {
        let before = vote("old", 7);
        let two = [vote("new", 0), vote("old", 7), vote("new", 0)];
        assert_eq!(renamed(&two, 3, &before), Some(vote("new", 0)));
        assert_eq!(renamed(&two[..2], 3, &before), None);
        assert_eq!(renamed(&[vote("old", 7), vote("old", 7)], 3, &before), None);
        assert_eq!(renamed(&[vote("new", 8), vote("new", 8)], 3, &before), None);
    }
}
