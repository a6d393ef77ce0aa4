//! The guard: missed by what is meant for the supervisor, and replaced when it dies.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Bench, is_alive, send, wait_until, with_longer_leases};

#[test]
fn a_guard_that_dies_is_replaced_and_the_command_goes_on() {
    let bench = Bench::new();
    let run = bench.printer(&["--ttl", "8s"]);
    let leader = bench.next_leader(0);
    let guard = run.guard();
    send(guard, Signal::KILL);
    wait_until("another guard", || run.guard() != guard);
    assert!(is_alive(leader.command));
    // The new one is as good.
    run.signal(Signal::STOP);
    let second = bench.printer(&["--ttl", "8s"]);
    assert_eq!(bench.next_leader(leader.token).supervisor, second.id());
    assert!(!is_alive(leader.command));
}

#[test]
fn signals_do_not_keep_a_guard_from_its_duty() {
    let bench = Bench::new();
    let run = bench.printer_that("trap '' TERM", &["--ttl", "8s"]);
    let leader = bench.next_leader(0);
    let guard = run.guard();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        send(guard, signal);
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(run.guard(), guard);
    let session = std::fs::read_to_string(format!("/proc/{guard}/stat")).unwrap();
    let session = session.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, guard.to_string(), "it is in a session of its own");
    drop(run);
    wait_until("the command's end", || !is_alive(leader.command));
    wait_until("the guard's end", || !is_alive(guard));
}

#[test]
fn a_guard_that_was_held_up_does_not_act_by_an_old_deadline() {
    let goes_on = with_longer_leases(|ttl| {
        let bench = Bench::new();
        let run = bench.printer(&["--ttl", &format!("{ttl}s")]);
        let leader = bench.next_leader(0);
        let guard = run.guard();
        send(guard, Signal::STOP);
        std::thread::sleep(Duration::from_millis(2500) * u32::try_from(ttl).unwrap());
        send(guard, Signal::CONT);
        std::thread::sleep(Duration::from_millis(500));
        is_alive(leader.command) && run.guard() == guard
    });
    assert!(goes_on, "the guard ends a command whose lease is kept");
}

/// The supervisor and the guard are killed at the same moment: the guard is stopped first, so that
/// it cannot act in between.
#[test]
fn a_command_dies_with_its_supervisor_and_guard() {
    let bench = Bench::new();
    let run = bench.printer_that("trap '' TERM HUP INT", &["--ttl", "1h"]);
    let leader = bench.next_leader(0);
    let guard = run.guard();
    send(guard, Signal::STOP);
    run.signal(Signal::KILL);
    send(guard, Signal::KILL);
    wait_until("the command's end", || !is_alive(leader.command));
}
