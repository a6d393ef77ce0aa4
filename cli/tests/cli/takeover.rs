//! One instance runs its command, and when it cannot continue, another does; never both at once.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{
    Bench, Print, Running, is_alive, measured, stdout, wait_until, with_longer_leases,
};

const TTL: Duration = Duration::from_secs(3);
const OPTIONS: &[&str] = &["--ttl", "3s"];

fn start_three(bench: &Bench, first: &str, options: &[&str]) -> (Vec<Running>, Print) {
    let runs = (0..3).map(|_| bench.printer_with(first, options)).collect();
    (runs, bench.next_leader(0))
}

fn index_of(runs: &[Running], leader: Print) -> usize {
    runs.iter().position(|run| run.id() == leader.supervisor).unwrap()
}

#[test]
fn one_of_three_runs_the_command() {
    let one_prints = with_longer_leases(|factor| {
        let bench = Bench::new();
        let ttl = TTL * u32::try_from(factor).unwrap();
        let (_runs, leader) = start_three(&bench, ":", &["--ttl", &format!("{}s", ttl.as_secs())]);
        std::thread::sleep(ttl + Duration::from_millis(500));
        bench.assert_no_overlap();
        bench.prints().iter().all(|print| *print == leader)
    });
    assert!(one_prints, "another instance prints although the leader works");
}

#[test]
fn a_killed_supervisors_command_dies_and_its_lease_is_released() {
    for first in [":", "trap '' TERM HUP INT"] {
        let bench = Bench::new();
        // Only a release lets another command start in time.
        let (runs, leader) = start_three(&bench, first, &["--ttl", "1h"]);
        let start = Instant::now();
        runs[index_of(&runs, leader)].signal(Signal::KILL);
        let next = bench.next_leader(leader.token);
        measured("takeover after kill -9", start, Duration::from_millis(100));
        assert!(!is_alive(leader.command));
        assert_ne!(next.supervisor, leader.supervisor);
        drop(runs);
        wait_until("the command's end", || !is_alive(next.command));
    }
}

#[test]
fn an_interrupted_leader_releases_the_lock_at_once() {
    let bench = Bench::new();
    // Only the leader releases the lock in time, and only a hint reports it.
    let (mut runs, leader) = start_three(&bench, ":", &["--ttl", "1h"]);
    let start = Instant::now();
    let mut old = runs.swap_remove(index_of(&runs, leader));
    old.signal(Signal::INT);
    bench.next_leader(leader.token);
    measured("takeover after Ctrl-C", start, Duration::from_millis(300));
    assert_eq!(old.exit(), 130);
}

#[test]
fn sigstop_of_the_supervisor_ends_command_then_lease() {
    let bench = Bench::new();
    for first in [":", "trap '' TERM"] {
        let _ = std::fs::remove_file(bench.path("prints"));
        let (mut runs, leader) = start_three(&bench, first, OPTIONS);
        let start = Instant::now();
        let mut old = runs.swap_remove(index_of(&runs, leader));
        old.signal(Signal::STOP);
        wait_until("the command's end", || !is_alive(leader.command));
        measured("the command's end after a stop", start, TTL);
        // This checks that the command has ended, and that its token is smaller.
        let next = bench.next_leader(leader.token);
        measured("takeover after a stop", start, TTL + Duration::from_millis(500));
        old.signal(Signal::CONT);
        assert_eq!(old.exit(), 76);
        let printed = old.stderr();
        assert!(printed.lines().last().unwrap().contains("lost lock \"hello\""), "{printed}");
        drop(runs);
        wait_until("the command's end", || !is_alive(next.command));
    }
}

#[test]
fn a_continued_supervisor_does_not_report_the_watchdogs_signal() {
    let bench = Bench::new();
    let mut run = bench.printer(&["--ttl", "4s", "--stop-grace", "2s"]);
    let leader = bench.next_leader(0);
    run.signal(Signal::STOP);
    wait_until("the command's end", || !is_alive(leader.command));
    run.signal(Signal::CONT);
    assert_eq!(run.exit(), 76, "the status must not be that of the watchdog's SIGTERM, 143");
}

#[test]
fn with_respawn_a_continued_supervisor_campaigns_again() {
    let bench = Bench::new();
    let first = bench.printer(&["--ttl", "2s", "--respawn"]);
    let leader = bench.next_leader(0);
    let mut second = bench.printer(&["--ttl", "2s"]);
    first.signal(Signal::STOP);
    let next = bench.next_leader(leader.token);
    assert_eq!(next.supervisor, second.id());
    first.signal(Signal::CONT);
    std::thread::sleep(Duration::from_millis(500));
    bench.assert_no_overlap();
    second.signal(Signal::TERM);
    assert_eq!(second.exit(), 143);
    assert_eq!(bench.next_leader(next.token).supervisor, first.id());
}

/// Another connection keeps a write transaction open, so that no heartbeat succeeds.
#[test]
fn a_partitioned_supervisor_ends_its_command_within_the_lease() {
    let bench = Bench::new();
    let options = ["--ttl", "4s", "--stop-grace", "1s", "--respawn"];
    let _run = bench.printer_with("trap 'echo TERM >> got' TERM", &options);
    let leader = bench.next_leader(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let start = Instant::now();
    runtime.block_on(async {
        use sqlx::{Connection, Executor, SqliteConnection};
        let file = bench.path("locks.db");
        let mut other = SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        wait_until("the command's end", || !is_alive(leader.command));
        measured("the command's end without the store", start, Duration::from_secs(4));
        other.execute("ROLLBACK").await.unwrap();
    });
    assert_eq!(bench.text("got"), "TERM\n", "the engine or the watchdog sent a second SIGTERM");
    bench.next_leader(leader.token);
}

/// A store whose file is replaced cannot be used again, so the process ends and can be restarted.
#[test]
fn deleting_the_database_file_ends_all_runs() {
    let bench = Bench::new();
    let mut leader = bench.printer(&["--respawn", "--ttl", "3s"]);
    bench.next_leader(0);
    let mut standby = bench.printer(&["--ttl", "3s"]);
    wait_until("the standby", || {
        stdout(&bench.output(&["status", "hello", "--json"])).contains("\"standbys\":[{")
    });
    std::fs::remove_file(bench.path("locks.db")).unwrap();
    for run in [&mut leader, &mut standby] {
        assert_eq!(run.exit(), 1);
        let printed = run.stderr();
        assert!(printed.contains("was deleted while it was in use"), "{printed}");
    }
    bench.assert_no_overlap();
}
