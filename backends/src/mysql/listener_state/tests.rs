//! These tests cover which name a notification is taken for, and when a watch reads.

use super::*;
use crate::{EntryRecord, FencingToken, Holder, LeaseId, LockKind};

fn held(holder: &Holder, token: u64) -> Held {
    let token = FencingToken::new(token).unwrap();
    Held::new(holder.clone(), token, Duration::from_secs(600))
}

fn refuse(state: &mut ListenerState, name: &LockName, held: &Held) {
    let awaited = Awaited::new(held, state.awaited.get(name));
    state.awaited.insert(name.clone(), awaited);
}

#[test]
fn the_only_name_of_a_holder_is_taken_for_released_until_that_was_wrong() {
    let [job, other] = ["job", "other"].map(|name| LockName::new(name).unwrap());
    let (holder, another) = (Holder::current(), Holder::current());
    let mut state = ListenerState::default();
    refuse(&mut state, &job, &held(&holder, 1_000));
    refuse(&mut state, &other, &held(&another, 1_000));
    assert_eq!(state.take_for_released(holder.instance), Some(job.clone()));
    // The same grant still refuses the name, so another lease of the holder was released.
    for _ in 0..2 {
        refuse(&mut state, &job, &held(&holder, 1_000));
        assert_eq!(state.take_for_released(holder.instance), None);
    }
    refuse(&mut state, &job, &held(&holder, 2_000));
    assert_eq!(state.take_for_released(holder.instance), Some(job.clone()));
    refuse(&mut state, &job, &held(&holder, 3_000));
    refuse(&mut state, &other, &held(&holder, 3_000));
    assert_eq!(state.take_for_released(holder.instance), None, "it may be either of them");
}

#[test]
fn a_signal_is_outdated_only_while_the_grant_that_refused_the_name_stands() {
    let [job, other] = ["job", "other"].map(|name| LockName::new(name).unwrap());
    let mut state = ListenerState::default();
    refuse(&mut state, &job, &held(&Holder::current(), 2_000));
    assert!(state.is_refused_by(&job, 2_000));
    assert!(!state.is_refused_by(&job, 0), "it was released");
    assert!(!state.is_refused_by(&job, 1_000), "the read is of an earlier state");
    assert!(!state.is_refused_by(&other, 2_000));
    // Another client of the store may know only that the name was disabled.
    state.found_disabled.insert(job.clone(), Instant::now());
    assert!(!state.is_refused_by(&job, 2_000));
    state.clear();
    refuse(&mut state, &job, &held(&Holder::current(), 2_000));
    assert!(state.is_refused_by(&job, 2_000));
}

const SECOND: Duration = Duration::from_secs(1);

/// Returns a state that waits for a name, and since that moment for its holder's user-level lock.
fn waiting(since: Instant) -> ListenerState {
    let (holder, mut state) = (Holder::current(), ListenerState::default());
    refuse(&mut state, &LockName::new("job").unwrap(), &held(&holder, 1_000));
    state.listened.insert(holder.instance, Some(since));
    state
}

#[test]
fn each_command_that_waits_causes_one_read_after_it_arrived() {
    let begun = Instant::now();
    let mut state = waiting(begun);
    let due = state.read_due(begun, begun).unwrap();
    assert_eq!(due, begun + ARRIVAL_TIME);
    assert_eq!(state.read_due(due, due), None);
    assert_eq!(state.read_due(due, begun + 40 * SECOND), None, "nothing has changed");
    // The next command may have missed a release.
    let next = begun + 45 * SECOND;
    state.listened.values_mut().for_each(|since| *since = Some(next));
    assert_eq!(state.read_due(due, next), Some(next + ARRIVAL_TIME));
    assert_eq!(state.read_due(next + ARRIVAL_TIME, next + ARRIVAL_TIME), None);
}

#[test]
fn a_watch_reads_at_its_interval_if_a_change_may_not_be_announced() {
    let begun = Instant::now();
    let read = begun + SECOND;
    let name = LockName::new("other").unwrap();
    let always = |mut state: ListenerState| state.read_due(read, read) == Some(read);
    assert!(!always(waiting(begun)));
    assert!(always(ListenerState::default()), "a watch may be for any name");
    let mut state = waiting(begun);
    refuse(&mut state, &name, &held(&Holder::current(), 1_000));
    assert!(state.must_poll(read));
    assert!(always(state), "no task waits for the lock of the other holder");
    let mut state = waiting(begun);
    state.disabled.insert(name.clone(), begun);
    assert!(state.must_poll(read));
    assert!(!state.must_poll(begun + DISABLED));
    let later = begun + DISABLED;
    assert_eq!(state.read_due(later, later), Some(later), "it may be enabled");
    let mut state = waiting(begun);
    state.found_disabled.insert(name, begun);
    assert!(always(state), "another client may not know that it was enabled");
}

fn entry(holder: &Holder, token: u64) -> EntryRecord {
    let token = FencingToken::new(token).unwrap();
    EntryRecord::new(LeaseId::new(), holder.clone(), token, Duration::from_secs(600))
}

/// Notes that an entry waits in a fair lock's queue of these holders.
fn wait_in_queue(state: &mut ListenerState, name: &LockName, holders: &[&Holder]) {
    let entries = holders.iter().zip(1_000..).map(|(holder, token)| entry(holder, token));
    let queue = QueueRecord::new(LockKind::Fair, entries.collect());
    let awaited = Awaited::in_queue(&held(holders[0], 1_000), &queue);
    state.awaited.insert(name.clone(), awaited);
}

/// The watch then reads which entries hold the lock, so that no others ask.
#[test]
fn a_notification_is_not_taken_for_the_release_of_a_name_with_a_queue() {
    let name = LockName::new("job").unwrap();
    let (first, own) = (Holder::current(), Holder::current());
    let mut state = ListenerState::default();
    wait_in_queue(&mut state, &name, &[&first, &own]);
    assert_eq!(state.take_for_released(first.instance), None);
    refuse(&mut state, &name, &held(&first, 1_000));
    assert_eq!(state.take_for_released(first.instance), Some(name));
}

#[test]
fn a_watch_reads_while_an_entry_waits_for_more_than_one_other() {
    let name = LockName::new("job").unwrap();
    let (first, second, own) = (Holder::current(), Holder::current(), Holder::current());
    let mut state = ListenerState::default();
    let now = Instant::now();
    let read = now + ARRIVAL_TIME;
    state.listened.insert(first.instance, Some(now));
    wait_in_queue(&mut state, &name, &[&first, &own]);
    assert_eq!(state.read_due(read, now), None, "the first entry announces that it leaves");
    wait_in_queue(&mut state, &name, &[&first, &second, &own]);
    assert_eq!(state.read_due(read, now), Some(read), "the second entry may leave");
}
