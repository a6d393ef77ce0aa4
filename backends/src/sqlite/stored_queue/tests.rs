use std::slice::from_ref;

use super::*;
use crate::shell::entries;
use crate::{AcquireOutcome, Disablement, Holder, LockKind, Reason, RenewOutcome};

const NOW: Now = Now { uptime: 5_000_000, wall: 900_000_000 };
const SECOND: i64 = 1_000_000;

fn name() -> LockName {
    LockName::new("a").unwrap()
}

fn stored(token: u64, left: i64) -> StoredEntry {
    StoredEntry {
        lease: LeaseId::new(),
        token: FencingToken::new(token).unwrap(),
        weight: 1,
        holder: Holder::current(),
        entered_at: NOW.wall - SECOND,
        expires_at: NOW.uptime + left,
        ending: None,
    }
}

/// Returns the record of a name with these entries as of `NOW`, and the text of its queue.
fn row(stored: &[StoredEntry], ending: Option<&Reason>) -> (LockRecord, String) {
    let text = entries::write(stored).unwrap();
    let left = |expires_at: i64| -> Result<Option<Duration>> {
        let left = u64::try_from(expires_at - NOW.uptime).unwrap_or_default();
        Ok((left > 0).then(|| Duration::from_micros(left)))
    };
    let (kind, live) = entries::read_with("fair", &text, ending, NOW.wall, left).unwrap();
    let last = stored.iter().map(|entry| entry.token).max();
    (LockRecord::unused(name()).with_token(last).with_queue(kind, live), text)
}

fn read(stored: &[StoredEntry], ending: Option<&Reason>) -> StoredQueue {
    let (record, text) = row(stored, ending);
    StoredQueue::read(record, || Ok(text)).ok().unwrap()
}

/// Returns the entries that are written.
fn written(queue: &StoredQueue) -> Vec<StoredEntry> {
    let (_, _, _, text) = queue.row().unwrap().unwrap();
    serde_json::from_str(&text).unwrap()
}

fn attempt() -> EnterOptions {
    EnterOptions::new(LeaseId::new(), Holder::current(), Duration::from_secs(3), LockKind::Fair)
}

fn renewal(lease: LeaseId) -> RenewOptions {
    RenewOptions::new(name(), lease, Duration::from_secs(3)).of_entry(true)
}

#[test]
fn expired_entries_are_not_written_back() {
    let (live, over) = (stored(8, SECOND), stored(7, 0));
    let queue = read(&[over, live.clone()], None);
    assert_eq!(written(&queue), [live]);
}

#[test]
fn a_row_has_the_first_holder_and_ends_with_the_last_entry_to_expire() {
    let queue = read(&[stored(7, 2 * SECOND), stored(8, 9 * SECOND), stored(9, SECOND)], None);
    let first = encode::holder(&queue.record.queue.as_ref().unwrap().entries[0].holder).unwrap();
    let (lock, holder, expires_at, _) = queue.row().unwrap().unwrap();
    assert_eq!((lock, holder, expires_at), ("a", first, NOW.uptime + 9 * SECOND));
}

#[test]
fn a_new_entry_has_the_time_of_the_decision_and_a_later_token_than_all_before() {
    let mut queue = StoredQueue::unused(name());
    let options = attempt();
    let token = queue.push(&options, NOW).unwrap();
    assert_eq!(i64::from(token), NOW.wall);
    let entries = written(&queue);
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((entry.lease, entry.token), (options.lease, token));
    assert_eq!((entry.entered_at, entry.expires_at), (NOW.wall, NOW.uptime + 3 * SECOND));
    let outcome = queue.record.enter_outcome(&options).unwrap();
    assert!(matches!(outcome, Some(AcquireOutcome::Granted(grant)) if grant.token == token));

    // The token of the record may be ahead of the clock.
    let ahead = u64::try_from(NOW.wall).unwrap() + 50;
    let mut queue = read(&[stored(ahead, SECOND)], None);
    let options = attempt();
    assert_eq!(queue.push(&options, NOW).unwrap().get(), ahead + 1);
    assert_eq!(queue.record.token.map(FencingToken::get), Some(ahead + 1));
    let outcome = queue.record.enter_outcome(&options).unwrap();
    assert!(matches!(outcome, Some(AcquireOutcome::Queued(_))), "{outcome:?}");

    let mut queue = read(&[stored(FencingToken::LIMIT - 1, SECOND)], None);
    assert!(queue.push(&attempt(), NOW).is_err());
}

#[test]
fn an_extended_entry_is_written_with_its_new_time() {
    let entries = [stored(7, SECOND), stored(8, SECOND)];
    let mut queue = read(&entries, None);
    queue.extend(&renewal(LeaseId::new()), NOW);
    assert!(!queue.is_extended());
    queue.extend(&renewal(entries[1].lease), NOW);
    assert!(queue.is_extended());
    let ends: Vec<_> = written(&queue).iter().map(|entry| entry.expires_at).collect();
    assert_eq!(ends, [NOW.uptime + SECOND, NOW.uptime + 3 * SECOND]);
    let outcome = queue.record.renew_entry_outcome(entries[1].lease);
    let expected = RenewOutcome::queued(Duration::from_secs(3), 1, Duration::from_secs(1));
    assert_eq!(outcome, expected);
}

#[test]
fn an_entry_that_has_to_leave_is_not_extended() {
    let reason = Reason::new("upkeep").unwrap();
    let entry = stored(7, SECOND);
    let marked = StoredEntry { ending: Some(reason.clone()), ..entry.clone() };
    let mut disabled = read(from_ref(&entry), None);
    disabled.record = disabled.record.with_disabled(Disablement::new(reason.clone()));
    for mut queue in [read(from_ref(&entry), Some(&reason)), read(&[marked], None), disabled] {
        queue.extend(&renewal(entry.lease), NOW);
        assert!(!queue.is_extended());
        let outcome = queue.record.renew_entry_outcome(entry.lease);
        assert_eq!(outcome, RenewOutcome::disabled(reason.clone(), Duration::from_secs(1)));
    }
}

/// Otherwise the row's reason, which a new entry ends, would be lost.
#[test]
fn the_reason_of_the_row_is_written_into_each_entry() {
    let (reason, earlier) = (Reason::new("upkeep").unwrap(), Reason::new("earlier").unwrap());
    let marked = StoredEntry { ending: Some(earlier), ..stored(8, SECOND) };
    let mut queue = read(&[stored(7, SECOND), marked], Some(&reason));
    queue.push(&attempt(), NOW).unwrap();
    let endings: Vec<_> = written(&queue).into_iter().map(|entry| entry.ending).collect();
    assert_eq!(endings, [Some(reason.clone()), Some(reason), None]);
}

#[test]
fn an_entry_that_leaves_takes_no_other_with_it() {
    let entries = [stored(7, SECOND), stored(8, SECOND)];
    let mut queue = read(&entries, None);
    assert_eq!(queue.remove(LeaseId::new()), None);
    assert_eq!(queue.remove(entries[0].lease).map(|left| left.id), Some(entries[0].lease));
    assert_eq!(written(&queue), entries[1..]);
    assert_eq!(queue.remove(entries[0].lease), None);
    assert!(queue.remove(entries[1].lease).is_some());
    assert_eq!(queue.row().unwrap(), None);
    assert_eq!(queue.record.queue, None);
}

#[test]
fn fields_of_a_later_version_are_kept() {
    let entry = stored(7, SECOND);
    let (record, text) = row(from_ref(&entry), None);
    let later = text.replace("\"w\":1", "\"w\":1,\"later\":{\"x\":[1.5]}");
    assert_ne!(text, later);
    let mut queue = StoredQueue::read(record, || Ok(later)).ok().unwrap();
    queue.extend(&renewal(entry.lease), NOW);
    let (_, _, _, text) = queue.row().unwrap().unwrap();
    assert!(text.contains("\"later\":{\"x\":[1.5]}"), "{text}");
    assert_eq!(written(&queue)[0].lease, entry.lease);
}
