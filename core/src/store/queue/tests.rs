use uuid::Uuid;

use super::*;

fn entry(number: u64, weight: u32, left: u64) -> EntryRecord {
    let id = LeaseId::from_uuid(Uuid::from_u128(u128::from(number)));
    let token = FencingToken::new(number).unwrap();
    EntryRecord::new(id, Holder::new(Uuid::nil(), "host", 1), token, Duration::from_secs(left))
        .with_weight(weight)
}

#[test]
fn the_first_entries_hold_up_to_the_capacity() {
    for (weights, capacity, holding) in [
        (&[][..], 1, 0),
        (&[1, 1][..], 1, 1),
        (&[1, 1, 1, 1][..], 3, 3),
        (&[2, 2, 1][..], 3, 1),
        (&[4, 1][..], 3, 0),
        (&[1, u32::MAX, 1][..], u32::MAX, 1),
        (&[LockKind::WRITER_WEIGHT, 1][..], LockKind::WRITER_WEIGHT, 1),
        (&[1, 1, LockKind::WRITER_WEIGHT, 1][..], LockKind::WRITER_WEIGHT, 2),
    ] {
        assert_eq!(count_holding(weights.iter().copied(), capacity), holding, "{weights:?}");
    }
}

#[test]
fn entries_are_in_the_order_of_their_tokens() {
    let kind = LockKind::semaphore(2).unwrap();
    let queue = QueueRecord::new(kind, vec![entry(9, 1, 5), entry(3, 1, 5), entry(4, 1, 5)]);
    let tokens: Vec<_> = queue.entries.iter().map(|entry| entry.token.get()).collect();
    assert_eq!((tokens, queue.holding), (vec![3, 4, 9], 2));
    assert_eq!(queue.floor(), Some(FencingToken::new(3).unwrap()));
    assert_eq!((queue.holders().len(), queue.waiters().len()), (2, 1));
}

#[test]
fn a_waiter_rechecks_when_the_first_entry_ahead_expires() {
    let queue =
        QueueRecord::new(LockKind::Fair, vec![entry(1, 1, 9), entry(2, 1, 4), entry(3, 1, 20)]);
    let floor = FencingToken::new(1).unwrap();
    let standing = |at: usize| queue.standing(queue.entries[at].id);
    assert_eq!(standing(0), Some(EntryStanding::Holds { entry: &queue.entries[0], floor }));
    let recheck = Duration::from_secs(4);
    let waits = EntryStanding::Waits { entry: &queue.entries[2], ahead: 2, recheck };
    assert_eq!(standing(2), Some(waits));
    assert_eq!(queue.standing(entry(7, 1, 1).id), None);
}

#[test]
fn leaving_grants_the_lock_to_the_entries_that_did_not_hold_it() {
    let kind = LockKind::semaphore(3).unwrap();
    let others = vec![entry(2, 1, 9), entry(3, 2, 9), entry(4, 1, 9)];
    let queue = QueueRecord::new(kind, others);
    // Before, the first and the second held three permits.
    let granted = queue.granted_by_leaving(kind, &entry(1, 2, 9));
    assert_eq!(granted, [entry(3, 2, 9).id]);
    // An entry that waited last frees nothing.
    assert_eq!(queue.granted_by_leaving(kind, &entry(5, 1, 9)), []);
}
