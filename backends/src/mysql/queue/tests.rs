use sqlx::{Arguments, Execute};

use super::*;
use crate::{Disablement, EnterOptions, Grant, Holder, Reason};

const LEFT: Duration = Duration::from_secs(3);

fn entry(token: u64) -> EntryRecord {
    let token = FencingToken::new(token).unwrap();
    EntryRecord::new(LeaseId::new(), Holder::current(), token, LEFT)
}

#[test]
fn a_hint_about_a_queue_names_all_that_hold_the_lock() {
    let name = LockName::new("a").unwrap();
    let unused = LockRecord::unused(name.clone());
    let entries: Vec<_> = (1..=3).map(entry).collect();
    let holding: Vec<_> = entries.iter().take(2).map(|entry| entry.id).collect();
    let kind = LockKind::semaphore(2).unwrap();
    let queue = unused.clone().with_queue(kind, entries.clone());
    assert_eq!(hint_of(queue), Hint::Entries(name.clone(), holding));

    let reason = Reason::new("upkeep").unwrap();
    let mut ending = entries.clone();
    ending[2].ending = Some(reason.clone());
    let disabled = unused.clone().with_disabled(Disablement::new(reason));
    for all in [unused.clone(), unused.with_queue(kind, ending), disabled.with_queue(kind, entries)]
    {
        assert_eq!(hint_of(all), Hint::Name(name.clone()));
    }
}

#[test]
fn an_only_entry_holds_the_lock_and_is_granted_without_a_read() {
    let (lease, holder) = (LeaseId::new(), Holder::current());
    let text = encode::holder(&holder).unwrap();
    let values = Values {
        holder: &text,
        ttl: 3_000_000,
        kind: "semaphore:5",
        weight: 2,
        ..Values::default()
    };
    let token = FencingToken::new(7_u64).unwrap();
    let record = only_entry(LockName::new("a").unwrap(), lease, token, &values).unwrap();
    let options =
        EnterOptions::new(lease, holder, LEFT, LockKind::semaphore(5).unwrap()).with_weight(2);
    let granted = Grant::new(token, LEFT).with_floor(token);
    let outcome = record.enter_outcome(&options).unwrap();
    assert_eq!(outcome, Some(AcquireOutcome::Granted(granted)));
    assert_eq!(record.queue.unwrap().entries[0].weight, 2);
}

#[test]
fn the_last_name_fills_the_list_of_names() {
    let names = ["a", "b", "c"].map(|name| LockName::new(name).unwrap());
    let names: Vec<_> = names.iter().collect();
    for count in 1..=3 {
        let mut query = bind_names(sqlx::query("SELECT 1"), &names[..count]);
        let arguments = query.take_arguments().unwrap().unwrap();
        assert_eq!(arguments.len(), padded(count));
    }
}

#[test]
fn an_entry_waits_or_holds_the_lock_or_is_not_there() {
    let entries: Vec<_> = (1..=2).map(entry).collect();
    let [first, second] = [&entries[0], &entries[1]].map(|entry| entry.id);
    let unused = LockRecord::unused(LockName::new("a").unwrap());
    let record = unused.clone().with_queue(LockKind::Fair, entries);
    for (record, lease, expected) in [
        (&record, first, [true, false]),
        (&record, second, [false, true]),
        (&record, LeaseId::new(), [false, false]),
        (&unused, first, [false, false]),
    ] {
        assert_eq!([holds(record, lease), waits(record, lease)], expected);
    }
}

#[test]
fn an_attempt_is_refused_by_a_record_without_room_for_it() {
    let entries: Vec<_> = (1..=3).map(entry).collect();
    let (first, kind) = (entries[0].clone(), LockKind::semaphore(4).unwrap());
    let unused = LockRecord::unused(LockName::new("a").unwrap());
    let record = unused.clone().with_queue(kind, entries.clone());
    let full = unused.clone().with_queue(LockKind::semaphore(2).unwrap(), entries.clone());
    let weight = |weight| Values { capacity: 4, weight, ..Values::default() };
    let lease = LeaseId::new();
    let held = Held::new(first.holder, first.token, LEFT);
    assert_eq!(refusal(&record, lease, &weight(2)), Some(held.clone()));
    // The outcome that follows from the record is the same one.
    let options =
        EnterOptions::new(lease, Holder::current(), LEFT, kind).with_weight(2).without_waiting();
    assert_eq!(record.enter_outcome(&options).unwrap(), Some(AcquireOutcome::Held(held.clone())));
    assert_eq!(refusal(&full, entries[2].id, &weight(1)), Some(held), "it waits");
    for (record, lease, weight) in
        [(&record, lease, weight(1)), (&full, first.id, weight(2)), (&unused, lease, weight(4))]
    {
        assert_eq!(refusal(record, lease, &weight), None);
    }
}
