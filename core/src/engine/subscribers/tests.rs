//! These tests cover which subscribers and held leases are told of which change.

use super::*;
use crate::engine::renewed_lease::testing::{TestLease, Told};

fn name(name: &str) -> LockName {
    LockName::new(name).unwrap()
}

/// Returns the change that woke the subscriber, if there was any.
fn change(wakeup: &Wakeup) -> Option<Change> {
    let woken = wakeup.poll_woken(&Context::from_waker(Waker::noop()));
    woken.is_ready().then(|| wakeup.take_change())
}

#[test]
fn opening_a_watch_is_a_hint_only_to_those_that_an_earlier_watch_served() {
    let mut subscribers = Subscribers::default();
    let first = subscribers.add(name("job"), None);
    assert_eq!(change(&first), None);
    subscribers.watch_opened();
    assert_eq!(change(&first), Some(Change::WatchChanged));
    let during = subscribers.add(name("job"), subscribers.position());
    assert_eq!(change(&during), None);
    subscribers.watch_ended();
    let in_the_gap = subscribers.add(name("job"), subscribers.position());
    subscribers.watch_opened();
    assert_eq!(change(&first), Some(Change::Hint), "a hint may have been missed in the gap");
    assert_eq!(change(&during), Some(Change::Hint));
    assert_eq!(change(&in_the_gap), Some(Change::WatchChanged));
}

#[test]
fn only_those_that_relied_on_hints_are_woken_when_no_watch_can_be_opened() {
    let mut subscribers = Subscribers::default();
    subscribers.watch_opened();
    let served = subscribers.add(name("job"), subscribers.position());
    subscribers.watch_ended();
    let polls = subscribers.add(name("job"), subscribers.position());
    subscribers.watch_failed();
    assert_eq!((change(&served), change(&polls)), (Some(Change::WatchChanged), None));
}

#[test]
fn hints_wake_the_subscribers_of_their_name() {
    let mut subscribers = Subscribers::default();
    subscribers.watch_opened();
    let [job, other] = ["job", "other"].map(|of| {
        let position = subscribers.position();
        subscribers.add(name(of), position)
    });
    subscribers.dispatch(&Hint::Name(name("job")));
    assert_eq!((change(&job), change(&other)), (Some(Change::Hint), None));
    subscribers.dispatch(&Hint::Anything);
    subscribers.dispatch(&Hint::Anything);
    assert_eq!((change(&job), change(&other)), (Some(Change::Hint), Some(Change::Hint)));
    assert_eq!(change(&job), None, "several hints wake a subscriber once");
}

/// The first opening of a watch is not a hint: the heartbeat that is sent after the subscription
/// tells of every change before that.
#[test]
fn held_leases_are_told_of_hints_and_gaps() {
    let mut subscribers = Subscribers::default();
    let [job, other] = ["job", "other"].map(TestLease::new);
    let numbers = [("job", &job), ("other", &other)]
        .map(|(of, lease)| subscribers.add_lease(name(of), lease.clone()));
    assert!(!subscribers.is_empty());
    let told = |lease: &TestLease| lease.take_told() == [Told::Hinted];
    subscribers.watch_opened();
    assert!(!told(&job), "the lease has relied on no hints so far");
    subscribers.dispatch(&Hint::Name(name("job")));
    assert_eq!((told(&job), told(&other)), (true, false));
    subscribers.dispatch(&Hint::Anything);
    assert_eq!((told(&job), told(&other)), (true, true));
    subscribers.watch_ended();
    subscribers.watch_failed();
    assert!(!told(&job), "the lease is renewed when it is due");
    let in_the_gap = TestLease::new("late");
    let late = subscribers.add_lease(name("late"), in_the_gap.clone());
    // No watch was opened in between.
    subscribers.watch_ended();
    subscribers.watch_opened();
    assert!(told(&job), "a hint may have been missed in the gap");
    assert!(!told(&in_the_gap), "the lease has relied on no hints so far");
    subscribers.watch_ended();
    subscribers.watch_opened();
    assert!(told(&in_the_gap));
    drop(subscribers.remove_lease(name("late"), late));
    drop(subscribers.remove_lease(name("job"), numbers[0]));
    assert_eq!(Arc::strong_count(&job), 1);
    drop(subscribers.remove_lease(name("other"), numbers[1]));
    assert!(subscribers.is_empty());
}

/// A queue may have many waiters, of whom a release concerns one.
#[test]
fn a_hint_about_entries_wakes_the_waiters_that_it_names_and_those_without_an_entry() {
    let mut subscribers = Subscribers::default();
    subscribers.watch_opened();
    let [named, other, without] = [(); 3].map(|()| {
        let position = subscribers.position();
        subscribers.add(name("job"), position)
    });
    let [first, second] = [(); 2].map(|()| LeaseId::new());
    named.set_entry(Some(first));
    other.set_entry(Some(second));
    let held = TestLease::new("job");
    subscribers.add_lease(name("job"), held.clone());
    subscribers.dispatch(&Hint::Entries(name("job"), vec![first]));
    assert_eq!((change(&named), change(&other)), (Some(Change::Hint), None));
    assert_eq!(change(&without), Some(Change::Hint));
    assert_eq!(held.take_told(), []);
    subscribers.dispatch(&Hint::Entries(name("another"), vec![second]));
    assert_eq!(change(&other), None);
    subscribers.dispatch(&Hint::Name(name("job")));
    assert_eq!((change(&named), change(&other)), (Some(Change::Hint), Some(Change::Hint)));
    other.set_entry(Some(first));
    subscribers.dispatch(&Hint::Entries(name("job"), vec![first]));
    assert_eq!(change(&other), Some(Change::Hint), "its attempt was replaced");
}

#[test]
fn a_hint_between_the_question_and_the_subscription_is_not_missed() {
    let mut subscribers = Subscribers::default();
    subscribers.watch_opened();
    let asked = subscribers.position();
    let without = subscribers.add(name("job"), asked);
    assert_eq!(change(&without), None);
    subscribers.dispatch(&Hint::Name(name("job")));
    let with = subscribers.add(name("job"), asked);
    assert_eq!(change(&with), Some(Change::Hint));

    let asked = subscribers.position();
    subscribers.watch_ended();
    let ended = subscribers.add(name("job"), asked);
    assert_eq!(change(&ended), Some(Change::Hint), "the reply came while the watch was open");
    subscribers.watch_opened();
    let reopened = subscribers.add(name("job"), asked);
    assert_eq!(change(&reopened), Some(Change::Hint), "the watch had a gap");
    let unwatched = subscribers.add(name("job"), None);
    assert_eq!(change(&unwatched), Some(Change::Hint), "the watch opened after the question");
}
