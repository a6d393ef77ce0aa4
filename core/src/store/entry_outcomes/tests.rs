use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::{FencingToken, Holder, LeaseRecord, Reason};

const LEFT: Duration = Duration::from_secs(9);

fn entry(number: u64, weight: u32) -> EntryRecord {
    let id = LeaseId::from_uuid(Uuid::from_u128(u128::from(number)));
    let holder = Holder::new(Uuid::nil(), "host", 1);
    EntryRecord::new(id, holder, FencingToken::new(number).unwrap(), LEFT).with_weight(weight)
}

fn permits(count: u32) -> LockKind {
    LockKind::semaphore(count).unwrap()
}

fn unused() -> LockRecord {
    LockRecord::unused(LockName::new("job").unwrap())
}

fn reason() -> Reason {
    Reason::new("upkeep").unwrap()
}

/// Describes an attempt of the lease of that number.
fn attempt(number: u64, kind: LockKind) -> EnterOptions {
    let EntryRecord { id, holder, .. } = entry(number, 1);
    EnterOptions::new(id, holder, LEFT, kind)
}

#[test]
fn an_entry_is_made_if_nothing_prevents_it() {
    let queue = unused().with_queue(permits(2), vec![entry(1, 1)]);
    for (record, options) in [
        (unused(), attempt(2, LockKind::Fair).without_waiting()),
        (queue.clone(), attempt(2, permits(2)).without_waiting()),
        (queue, attempt(2, permits(2)).with_weight(2)),
    ] {
        assert_eq!(record.enter_outcome(&options).unwrap(), None, "{options:?}");
    }
}

#[test]
fn what_prevents_an_entry_is_checked_in_one_order() {
    let options = attempt(1, LockKind::Fair);
    let EnterOptions { lease, holder, .. } = options.clone();
    let leased = unused().with_lease(LeaseRecord::new(lease, holder, LEFT));
    let other = unused().with_queue(permits(2), vec![entry(1, 1)]);
    for record in [leased, other] {
        let error = record.enter_outcome(&options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let disabled = Disablement::new(reason());
        let outcome = record.with_disabled(disabled.clone()).enter_outcome(&options).unwrap();
        assert_eq!(outcome, Some(AcquireOutcome::Disabled(disabled)));
    }
    let damaged = LockRecord::unreadable(LockName::new("job").unwrap(), &Error::invalid("x"));
    assert_eq!(damaged.enter_outcome(&options).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn the_entry_of_an_attempt_is_found_by_its_lease() {
    let kind = permits(2);
    let record = unused().with_queue(kind, vec![entry(4, 1), entry(5, 1), entry(6, 1)]);
    let floor = FencingToken::new(4).unwrap();
    let outcome = |number| record.enter_outcome(&attempt(number, kind)).unwrap().unwrap();
    let grant = Grant::new(FencingToken::new(5).unwrap(), LEFT).with_floor(floor);
    assert_eq!(outcome(5), AcquireOutcome::Granted(grant));
    let held = Held::new(entry(4, 1).holder, floor, LEFT);
    let queued = Queued::new(FencingToken::new(6).unwrap(), LEFT, 2, LEFT, held);
    assert_eq!(outcome(6), AcquireOutcome::Queued(queued));
    let lease = |number| entry(number, 1).id;
    assert_eq!(record.renew_entry_outcome(lease(5)), RenewOutcome::extended_entry(LEFT, floor));
    assert_eq!(record.renew_entry_outcome(lease(6)), RenewOutcome::queued(LEFT, 2, LEFT));
    assert_eq!(record.renew_entry_outcome(lease(7)), RenewOutcome::Lost);
    assert_eq!(unused().renew_entry_outcome(lease(5)), RenewOutcome::Lost);
}

#[test]
fn an_entry_that_has_to_leave_neither_holds_nor_waits() {
    let told = RenewOutcome::disabled(reason(), LEFT);
    let marked = |number| entry(number, 1).with_ending(reason());
    let record = unused().with_queue(LockKind::Fair, vec![marked(1), marked(2), entry(3, 1)]);
    for number in [1, 2] {
        let outcome = record.enter_outcome(&attempt(number, LockKind::Fair)).unwrap();
        assert_eq!(outcome, Some(AcquireOutcome::Disabled(Disablement::new(reason()))));
        assert_eq!(record.renew_entry_outcome(entry(number, 1).id), told);
    }
    assert_eq!(record.renew_entry_outcome(entry(3, 1).id), RenewOutcome::queued(LEFT, 2, LEFT));
    let disabled = record.with_disabled(Disablement::new(reason()));
    assert_eq!(disabled.renew_entry_outcome(entry(3, 1).id), told);
}

#[test]
fn a_full_queue_refuses_an_entry_that_would_wait_or_hold() {
    let kind = LockKind::ReaderWriter;
    let entries = (1..=u64::try_from(MAX_ENTRIES).unwrap()).map(|number| entry(number, 1));
    let record = unused().with_queue(kind, entries.collect());
    let reader = attempt(1000, kind);
    for options in [reader.clone(), reader.clone().without_waiting()] {
        let error = record.enter_outcome(&options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
    // It would not be made anyway.
    let writer = reader.with_weight(LockKind::WRITER_WEIGHT).without_waiting();
    let outcome = record.enter_outcome(&writer).unwrap();
    assert!(matches!(outcome, Some(AcquireOutcome::Held(_))), "{outcome:?}");
}

#[test]
fn leaving_hints_at_the_entries_that_hold_because_of_it() {
    let after = unused().with_queue(LockKind::Fair, vec![entry(2, 1), entry(3, 1)]);
    let hint = Hint::Entries(after.name.clone(), vec![entry(2, 1).id]);
    assert_eq!(after.hint_of_leaving(&entry(1, 1)), Some(hint));
    assert_eq!(after.hint_of_leaving(&entry(4, 1)), None);
    let name = after.name.clone();
    assert_eq!(unused().hint_of_leaving(&entry(1, 1)), Some(Hint::Name(name)));
}
