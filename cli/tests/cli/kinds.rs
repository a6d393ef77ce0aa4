//! `run` holds locks of each kind: fair locks, semaphores, and locks for reading and writing.
//!
//! Leases last so long in most tests that nothing expires.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Bench, Running, assert_refused, is_alive, stderr, stdout, wait_for, wait_until,
};

/// This command says that it runs, and ends when the file `go` exists.
const UNTIL_GO: &str = "echo $$ >> up; while [ ! -e go ]; do sleep 0.02; done";

fn start(bench: &Bench, options: &[&str], script: &str) -> Running {
    Running::start(bench.run(&[&["--ttl", "1h"][..], options].concat(), script))
}

/// Waits until the lock has these numbers of holders and waiters, and returns it.
fn until(bench: &Bench, holders: usize, waiters: usize) -> Value {
    let count = |lock: &Value, list: &str| lock[list].as_array().map(Vec::len);
    wait_for("holders and waiters", || {
        let output = bench.output(&["status", "hello", "--json"]);
        // The first run may not have created the store yet.
        let lock: Value = serde_json::from_str(&stdout(&output)).ok()?;
        let is_so =
            count(&lock, "holders") == Some(holders) && count(&lock, "waiters") == Some(waiters);
        is_so.then_some(lock)
    })
}

fn go(bench: &Bench) {
    fs::write(bench.path("go"), "").unwrap();
}

fn lines(bench: &Bench, file: &str) -> Vec<String> {
    bench.text(file).lines().map(str::to_owned).collect()
}

#[test]
fn a_semaphore_runs_at_most_as_many_commands_as_permits() {
    let bench = Bench::new();
    let script = "echo begin >> log; sleep 0.05; echo end >> log";
    let mut runs: Vec<_> = (0..6).map(|_| start(&bench, &["--permits", "2"], script)).collect();
    for run in &mut runs {
        assert_eq!(run.exit(), 0);
    }
    let mut running = 0;
    let log = lines(&bench, "log");
    assert_eq!(log.len(), 12);
    for line in &log {
        running += if line == "begin" { 1 } else { -1 };
        assert!((0..=2).contains(&running), "{log:?}");
    }
}

#[test]
fn two_permits_are_held_together() {
    let bench = Bench::new();
    let mut runs = [(); 2].map(|()| start(&bench, &["--permits", "2"], UNTIL_GO));
    wait_until("both commands", || lines(&bench, "up").len() == 2);
    let lock = until(&bench, 2, 0);
    assert_eq!((&lock["kind"], &lock["capacity"]), (&"semaphore".into(), &2.into()));
    let third = bench.run(&["--permits", "2", "--wait", "0s"], "exit 3").output().unwrap();
    assert_refused(&third, 75, &["held by"]);
    until(&bench, 2, 0);
    go(&bench);
    for run in &mut runs {
        assert_eq!(run.exit(), 0);
    }
    until(&bench, 0, 0);
}

#[test]
fn fair_runs_follow_each_other_in_the_order_of_arrival() {
    let bench = Bench::new();
    let mut runs = vec![start(&bench, &["--fair"], UNTIL_GO)];
    until(&bench, 1, 0);
    for number in 1..4 {
        let script = format!("echo {number} >> order");
        runs.push(start(&bench, &["--fair"], &script));
        until(&bench, 1, number);
    }
    let table = stdout(&bench.output(&["status"]));
    for word in ["  fair  ", "waits 1", "waits 2", "waits 3"] {
        assert!(table.contains(word), "{table}");
    }
    go(&bench);
    for run in &mut runs {
        assert_eq!(run.exit(), 0);
    }
    assert_eq!(lines(&bench, "order"), ["1", "2", "3"]);
    let printed = runs[3].stderr();
    assert!(printed.contains("behind 3 others in its queue; held by "), "{printed}");
}

#[test]
fn readers_run_together_and_a_writer_alone() {
    let bench = Bench::new();
    let mut readers = [(); 2].map(|()| start(&bench, &["--read"], UNTIL_GO));
    wait_until("both readers", || lines(&bench, "up").len() == 2);
    let mut writer = start(&bench, &["--write"], "echo writes >> log");
    let lock = until(&bench, 2, 1);
    assert_eq!(lock["kind"], "reader-writer");
    assert_eq!(lock["waiters"][0]["weight"], lock["capacity"]);
    // A later reader does not overtake the writer.
    let late = bench.run(&["--read", "--wait", "0s"], "true").output().unwrap();
    assert_refused(&late, 75, &["held by"]);
    assert_eq!(bench.text("log"), "");
    go(&bench);
    for run in readers.iter_mut().chain([&mut writer]) {
        assert_eq!(run.exit(), 0);
    }
    assert_eq!(bench.text("log"), "writes\n");
}

#[test]
fn a_lock_has_one_kind() {
    let bench = Bench::new();
    for (options, words) in [
        (&["--fair", "--permits", "2"][..], &["--fair", "--permits", "one kind"][..]),
        (&["--read", "--write"], &["--read", "--write"]),
        (&["--permits", "0"], &["--permits", "0 is not a valid number of permits"]),
        (&["--permits", "-1"], &["--permits", "-1"]),
        (&["--fair=maybe"], &["--fair", "maybe"]),
    ] {
        assert_refused(&bench.run(options, "true").output().unwrap(), 2, words);
    }
    let mut run = bench.run(&["--fair"], "true");
    let output = run.env("LEASEHOLD_READ", "true").output().unwrap();
    assert_refused(&output, 2, &["option --fair", "environment variable LEASEHOLD_READ"]);
    assert!(!bench.path("locks.db").exists(), "a refused command created a database");
}

#[test]
fn a_name_in_use_as_another_kind_is_refused() {
    let bench = Bench::new();
    let mut holder = start(&bench, &["--permits", "3"], UNTIL_GO);
    until(&bench, 1, 0);
    for (options, kind) in [
        (&["--fair"][..], "a fair lock"),
        (&[], "an exclusive lock"),
        (&["--permits", "2"], "a semaphore of 2 permits"),
        (&["--write"], "a reader/writer lock"),
    ] {
        let output = bench.run(options, "true").output().unwrap();
        assert_refused(&output, 2, &["in use as a semaphore of 3 permits", kind]);
    }
    go(&bench);
    assert_eq!(holder.exit(), 0);
    assert!(bench.run(&["--fair"], "true").status().unwrap().success());
    assert!(bench.run(&[], "true").status().unwrap().success());
}

#[test]
fn the_watchdog_of_a_killed_run_leaves_the_queue() {
    let bench = Bench::new();
    let run = start(&bench, &["--fair", "--stop-grace", "1s"], UNTIL_GO);
    until(&bench, 1, 0);
    wait_until("the command", || lines(&bench, "up").len() == 1);
    let mut next = start(&bench, &["--fair"], "exit 3");
    until(&bench, 1, 1);
    let watchdog = run.watchdog();
    run.signal(Signal::KILL);
    // The entry lasts for an hour, so the next one runs only because this one has left.
    assert_eq!(next.exit(), 3);
    wait_until("the watchdog's end", || !is_alive(watchdog));
    until(&bench, 0, 0);
}

#[test]
fn an_interrupted_run_leaves_the_queue() {
    let bench = Bench::new();
    let _holder = start(&bench, &["--fair"], UNTIL_GO);
    until(&bench, 1, 0);
    let mut waiting = start(&bench, &["--fair"], "true");
    until(&bench, 1, 1);
    waiting.signal(Signal::INT);
    assert_eq!(waiting.exit(), 130);
    until(&bench, 1, 0);
}

#[test]
fn an_operator_stops_all_holders() {
    let bench = Bench::new();
    let options = ["--permits", "2", "--ttl", "5s"];
    for command in [&["disable", "hello", "--reason", "upkeep"][..], &["resign", "hello"]] {
        let _ = fs::remove_file(bench.path("up"));
        let mut runs = [(); 2].map(|()| Running::start(bench.run(&options, UNTIL_GO)));
        wait_until("both commands", || lines(&bench, "up").len() == 2);
        bench.succeed(command);
        for run in &mut runs {
            assert_eq!(run.exit(), 76, "{command:?}");
        }
        until(&bench, 0, 0);
        bench.succeed(&["enable", "hello"]);
    }
}

/// The floor is the token of the holder that came first.
#[test]
fn the_command_gets_the_floor_where_it_differs() {
    let bench = Bench::new();
    let print = "echo $LEASEHOLD_TOKEN ${LEASEHOLD_FLOOR-none} >> tokens";
    let mut first = start(&bench, &["--permits", "2"], &format!("{print}; {UNTIL_GO}"));
    until(&bench, 1, 0);
    wait_until("the first command", || lines(&bench, "up").len() == 1);
    // A run within a run has a term of its own.
    let program = env!("CARGO_BIN_EXE_leasehold");
    let store = bench.path("locks.db");
    let nested = format!("{program} --store sqlite:{} run --lock nested -- ", store.display());
    let script = format!("{print}; test -z \"$LEASEHOLD_PERMITS\" && {nested} sh -c '{print}'");
    let mut run = bench.run(&[], &script);
    let output = run.env("LEASEHOLD_PERMITS", "2").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let tokens = lines(&bench, "tokens");
    let fields: Vec<Vec<_>> = tokens.iter().map(|line| line.split(' ').collect()).collect();
    assert_eq!(fields[0][1], "none", "{tokens:?}");
    assert_eq!(fields[1][1], fields[0][0], "{tokens:?}");
    assert_ne!(fields[1][0], fields[0][0]);
    assert_eq!(fields[2][1], "none", "{tokens:?}");
    go(&bench);
    assert_eq!(first.exit(), 0);
}
