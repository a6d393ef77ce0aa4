//! Made-up histories: the checks accept what the rule allows, and find what it forbids.

use super::*;

/// Returns an entry that is live from `entered` until `until`, and was asked for just before.
fn waits(token: u64, weight: u32, entered: u64, until: u64) -> Entry {
    Entry { token, weight, asked: entered - 1, entered, until, granted: None, trusted: None }
}

/// Returns an entry that holds the lock from `granted` on, and is trusted a little shorter.
fn holds(token: u64, weight: u32, entered: u64, granted: u64, until: u64) -> Entry {
    Entry {
        granted: Some(granted),
        trusted: Some((granted + 1, until - 1)),
        ..waits(token, weight, entered, until)
    }
}

fn found(entries: &[Entry], capacity: u32) -> String {
    violations(entries, capacity).join("\n")
}

#[test]
fn holders_one_after_the_other_are_accepted() {
    let entries = [
        holds(1, 1, 10, 20, 30),
        holds(2, 1, 12, 30, 40),
        waits(3, 1, 14, 35),
        holds(4, 1, 15, 41, 50),
    ];
    assert_eq!(found(&entries, 1), "");
}

#[test]
fn two_clients_that_trust_a_fair_lock_at_the_same_time_are_found() {
    let mut entries = [holds(1, 1, 10, 20, 30), holds(2, 1, 12, 30, 40)];
    // The first holder's entry has expired, and it goes on.
    entries[0].trusted = Some((21, 35));
    assert!(found(&entries, 1).contains("clients trust too much"), "{}", found(&entries, 1));
    assert_eq!(found(&entries, 2), "");
}

#[test]
fn grants_of_the_store_that_overlap_are_found() {
    let mut entries = [holds(1, 1, 10, 20, 30), holds(2, 1, 12, 29, 40)];
    entries.iter_mut().for_each(|entry| entry.trusted = None);
    assert!(found(&entries, 1).contains("the store granted too much"));
    assert!(!found(&entries, 1).contains("clients trust too much"));
}

#[test]
fn weights_are_summed_up() {
    let entries = [holds(1, 2, 10, 11, 30), holds(2, 1, 12, 13, 40), holds(3, 2, 14, 30, 45)];
    assert_eq!(found(&entries, 3), "");
    assert!(found(&entries, 2).contains("clients trust too much"));
    let many = 1 << 30;
    let readers_and_writer = [holds(1, 1, 10, 11, 30), holds(2, many, 12, 27, 40)];
    assert!(found(&readers_and_writer, many).contains("clients trust too much"));
}

#[test]
fn a_grant_ahead_of_an_earlier_live_waiter_is_found() {
    let entries = [holds(1, 1, 10, 11, 20), waits(2, 1, 12, 60), holds(3, 1, 14, 21, 30)];
    assert!(found(&entries, 1).contains("token 3 of weight 1 holds at 21 ahead of its turn"));
}

#[test]
fn a_light_entry_does_not_overtake_a_heavy_one_although_it_would_fit() {
    let entries = [holds(1, 2, 10, 11, 40), waits(2, 2, 12, 60), holds(3, 1, 14, 21, 30)];
    let violations = violations(&entries, 3);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].contains("token 3 of weight 1 holds at 21 ahead of its turn"));
}

#[test]
fn an_entry_that_fits_behind_waiters_that_are_gone_is_accepted() {
    // The second entry has left, and the third may have expired.
    let entries = [
        holds(1, 2, 10, 11, 40),
        waits(2, 2, 12, 20),
        waits(3, 2, 13, 21),
        holds(4, 1, 14, 21, 30),
    ];
    assert_eq!(found(&entries, 3), "");
}

#[test]
fn trust_alone_shows_an_entry_that_is_ahead_of_its_turn() {
    let mut entries = [waits(1, 1, 10, 60), holds(2, 1, 12, 20, 20)];
    entries[1].granted = None;
    entries[1].trusted = Some((21, 30));
    assert!(found(&entries, 1).contains("token 2 of weight 1 holds at 21 ahead of its turn"));
}

#[test]
fn an_entry_that_is_asked_for_later_has_a_larger_token() {
    let mut entries = [waits(1, 1, 20, 30), waits(2, 1, 10, 15)];
    assert!(found(&entries, 9).contains("token 1, asked for at 19, came after 2"));
    // Requests at the same time may be decided in any order.
    entries[0].asked = 9;
    assert_eq!(found(&entries, 9), "");
}
