//! The watchdog ignores signals meant for the supervisor, and is replaced when it dies.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Bench, is_alive, send, wait_until, with_longer_leases};

#[test]
fn a_killed_watchdog_is_replaced() {
    let bench = Bench::new();
    let run = bench.printer(&["--ttl", "8s"]);
    let leader = bench.next_leader(0);
    let watchdog = run.watchdog();
    send(watchdog, Signal::KILL);
    wait_until("another watchdog", || run.watchdog() != watchdog);
    assert!(is_alive(leader.command));
    // The new watchdog works too.
    run.signal(Signal::STOP);
    let second = bench.printer(&["--ttl", "8s"]);
    assert_eq!(bench.next_leader(leader.token).supervisor, second.id());
    assert!(!is_alive(leader.command));
}

#[test]
fn the_watchdog_ignores_signals() {
    let bench = Bench::new();
    let run = bench.printer_with("trap '' TERM", &["--ttl", "8s"]);
    let leader = bench.next_leader(0);
    let watchdog = run.watchdog();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        send(watchdog, signal);
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(run.watchdog(), watchdog);
    let session = std::fs::read_to_string(format!("/proc/{watchdog}/stat")).unwrap();
    let session = session.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, watchdog.to_string(), "the watchdog leads its own session");
    drop(run);
    wait_until("the command's end", || !is_alive(leader.command));
    wait_until("the watchdog's end", || !is_alive(watchdog));
}

#[test]
fn a_delayed_watchdog_reads_the_latest_deadline() {
    let continues = with_longer_leases(|ttl| {
        let bench = Bench::new();
        let run = bench.printer(&["--ttl", &format!("{ttl}s")]);
        let leader = bench.next_leader(0);
        let watchdog = run.watchdog();
        send(watchdog, Signal::STOP);
        std::thread::sleep(Duration::from_millis(2500) * u32::try_from(ttl).unwrap());
        send(watchdog, Signal::CONT);
        std::thread::sleep(Duration::from_millis(500));
        is_alive(leader.command) && run.watchdog() == watchdog
    });
    assert!(continues, "the watchdog ended a command whose lease was renewed");
}

/// The supervisor and the watchdog are killed at the same moment: the watchdog is stopped first, so
/// that it cannot act in between.
#[test]
fn the_command_dies_with_supervisor_and_watchdog() {
    let bench = Bench::new();
    let run = bench.printer_with("trap '' TERM HUP INT", &["--ttl", "1h"]);
    let leader = bench.next_leader(0);
    let watchdog = run.watchdog();
    send(watchdog, Signal::STOP);
    run.signal(Signal::KILL);
    send(watchdog, Signal::KILL);
    wait_until("the command's end", || !is_alive(leader.command));
}
