use mongodb::bson::doc;
use uuid::Uuid;

use super::super::record;
use super::*;
use crate::{ErrorKind, Holder, LockRecord, Result};

fn lease(number: u128) -> LeaseId {
    LeaseId::from_uuid(Uuid::from_u128(number))
}

fn entry(number: u32, weight: i64, expires: i64) -> Document {
    doc! {
        "l": lease(number.into()).to_string(),
        "p": i64::from(number),
        "w": weight,
        "h": holder(),
        "t": 500_i64,
        "x": expires,
    }
}

fn holder() -> String {
    serde_json::to_string(&Holder::new(Uuid::from_u128(7), "host", 1)).unwrap()
}

/// Returns a semaphore of 3 permits, of which each entry has 2. It was changed at 1,000.
fn queue() -> Document {
    doc! {
        "_id": "job",
        "token": 2_i64,
        "signal": 0_i64,
        "lease": MARKER.to_string(),
        "holder": holder(),
        "granted": 500_i64,
        "expires": 3_000_i64,
        "kind": "semaphore:3",
        "capacity": 3_i64,
        "queue": [entry(1, 2, 2_000), entry(2, 2, 3_000)],
        "clock": 1_000_i64,
    }
}

fn at(document: &Document, now: i64) -> Result<LockRecord> {
    record::record(document, "leasehold_locks", now)
}

fn ids(record: &LockRecord) -> Vec<LeaseId> {
    record.queue.iter().flat_map(|queue| &queue.entries).map(|entry| entry.id).collect()
}

#[test]
fn a_queue_is_read_as_of_now() {
    let record = at(&queue(), 1_500).unwrap();
    assert_eq!((record.lease.is_none(), ids(&record)), (true, vec![lease(1), lease(2)]));
    let queue_record = record.queue.unwrap();
    assert_eq!(queue_record.holding, 1);
    assert_eq!(queue_record.entries[0].left, Duration::from_millis(500));
    assert_eq!(queue_record.entries[0].entered, Duration::from_secs(1));
    assert_eq!(ids(&at(&queue(), 2_000).unwrap()), [lease(2)]);
    assert_eq!(at(&queue(), 3_000).unwrap().queue, None);
}

/// A server's clock may be behind the one that changed the queue last.
#[test]
fn no_entry_has_more_time_left_than_at_the_last_change() {
    let record = at(&queue(), 0).unwrap();
    assert_eq!(record.queue.unwrap().entries[0].left, Duration::from_secs(1));
}

/// An entry that was live at the decision counts, also if it has expired by the time of the reading:
/// it may have been extended since.
#[test]
fn a_decision_is_read_by_its_own_clock() {
    let decided = |now| record::decided(&queue(), "leasehold_locks", now).unwrap();
    let record = decided(None);
    assert_eq!(record.queue.as_ref().unwrap().entries[1].left, Duration::from_secs(2));
    let record = decided(Some(2_500));
    assert_eq!(ids(&record), [lease(1), lease(2)]);
    let queue_record = record.queue.unwrap();
    assert_eq!(queue_record.holding, 1);
    assert_eq!(queue_record.entries[0].left, Duration::ZERO);
    assert_eq!(queue_record.entries[1].left, Duration::from_millis(500));
}

#[test]
fn what_leasehold_did_not_write_is_corrupt() {
    let foreign = [
        ("kind", Bson::Null),
        ("kind", Bson::from("exclusive")),
        ("kind", Bson::from("fair")),
        ("capacity", Bson::Int64(2)),
        ("capacity", Bson::Int32(3)),
        ("queue", Bson::from("[]")),
        ("queue", Bson::from(vec![Bson::Null])),
        ("queue", Bson::from(vec![entry(1, 2, 2_000), entry(1, 2, 2_000)])),
        ("clock", Bson::Null),
        ("clock", Bson::Int64(3_000)),
        ("expires", Bson::from("later")),
        ("granted", Bson::Int32(1)),
        ("holder", Bson::from("{")),
        ("ending", Bson::Int64(1)),
        ("token", Bson::Int64(0)),
        ("token", Bson::Int64(1)),
    ];
    for (field, value) in foreign {
        let mut damaged = queue();
        damaged.insert(field, value);
        assert_eq!(at(&damaged, 1_500).unwrap_err().kind(), ErrorKind::Corrupt, "{damaged}");
    }
    for (field, value) in [
        ("l", Bson::from("x")),
        ("l", Bson::from(MARKER.to_string())),
        ("p", Bson::Int64(0)),
        ("p", Bson::Int64(-1)),
        ("w", Bson::Int64(0)),
        ("w", Bson::Int64(4)),
        ("w", Bson::Int64(1 << 32)),
        ("h", Bson::from("{")),
        ("t", Bson::Int64(-1)),
        ("x", Bson::Int32(2_000)),
        ("e", Bson::Null),
        ("e", Bson::Int64(1)),
    ] {
        let (mut damaged, mut first) = (queue(), entry(1, 2, 2_000));
        first.insert(field, value);
        damaged.insert("queue", vec![first, entry(2, 2, 3_000)]);
        assert_eq!(at(&damaged, 1_500).unwrap_err().kind(), ErrorKind::Corrupt, "{damaged}");
    }
}

#[test]
fn an_expired_queue_is_not_read() {
    let mut document = queue();
    document.insert("queue", "damaged");
    assert_eq!(at(&document, 3_000).unwrap().queue, None);
}

#[test]
fn a_pushed_hint_names_the_leases_only_with_their_own_signal() {
    let name = LockName::new("job").unwrap();
    let hint = |woken: &str, signal| {
        pushed_hint(name.clone(), &doc! { "woken": woken, "signal": 7_i64 }, signal)
    };
    let (one, two) = (lease(1), lease(2));
    assert_eq!(
        hint(&format!("7,{one},{two}"), Some(7)),
        Hint::Entries(name.clone(), vec![one, two])
    );
    let by_name = Hint::Name(name.clone());
    for (woken, signal) in [
        (format!("6,{one}"), Some(7)),
        (format!("7,{one}"), None),
        ("7".to_owned(), Some(7)),
        ("7,x".to_owned(), Some(7)),
        (String::new(), Some(7)),
    ] {
        assert_eq!(hint(&woken, signal), by_name, "{woken}");
    }
    assert_eq!(pushed_hint(name, &doc! { "signal": 7_i64 }, Some(7)), by_name);
}

#[test]
fn a_polled_hint_names_all_holders_unless_the_name_was_disabled() {
    let name = LockName::new("job").unwrap();
    let hint = |document: &Document| polled_hint(name.clone(), document);
    assert_eq!(hint(&queue()), Hint::Entries(name.clone(), vec![lease(1)]));
    for (field, value) in [
        ("lease", Bson::from(lease(9).to_string())),
        ("disabled", Bson::from(doc! {})),
        ("ending", Bson::from("upkeep")),
        ("queue", Bson::from("damaged")),
    ] {
        let mut document = queue();
        document.insert(field, value);
        assert_eq!(hint(&document), Hint::Name(name.clone()), "{field}");
    }
}
