//! The command line must pass these cases on every server.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::instances::{Instances, Serve};
use crate::support::{Bench, is_alive, measured, stderr, stdout, wait_until};

type Case = (&'static str, fn(&str));

pub(crate) const ALL: &[Case] = &[
    (
        "an_interrupted_leader_releases_the_lock_at_once",
        an_interrupted_leader_releases_the_lock_at_once,
    ),
    ("the_lease_of_a_killed_leader_is_released", the_lease_of_a_killed_leader_is_released),
    ("a_disabled_command_ends_until_it_is_enabled", a_disabled_command_ends_until_it_is_enabled),
    ("disable_and_enable_reach_fifty_instances", disable_and_enable_reach_fifty_instances),
    ("the_schema_can_be_printed_and_applied", the_schema_can_be_printed_and_applied),
    ("an_unreachable_server_gives_one_line", an_unreachable_server_gives_one_line),
];

const OPTIONS: &[&str] = &["--ttl", "4s"];

fn an_interrupted_leader_releases_the_lock_at_once(url: &str) {
    let bench = Bench::on(url);
    // Only the leader releases the lock in time, and only a hint reports it.
    let mut runs: Vec<_> = (0..3).map(|_| bench.printer(&["--ttl", "1h"])).collect();
    let mut leader = bench.next_leader(0);
    // The others wait by now.
    std::thread::sleep(Duration::from_millis(500));
    while runs.len() > 1 {
        let index = runs.iter().position(|run| run.id() == leader.supervisor).unwrap();
        let mut old = runs.swap_remove(index);
        let start = Instant::now();
        old.signal(Signal::INT);
        leader = bench.next_leader(leader.token);
        let scheme = url.split(':').next().unwrap();
        measured(&format!("{scheme}: takeover after Ctrl-C"), start, Duration::from_millis(300));
        assert_eq!(old.exit(), 130);
    }
}

fn the_lease_of_a_killed_leader_is_released(url: &str) {
    let bench = Bench::on(url);
    // Only a release lets another command start in time.
    let runs: Vec<_> = (0..2).map(|_| bench.printer(&["--ttl", "1h"])).collect();
    let leader = bench.next_leader(0);
    // The other one waits by now.
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    runs.iter().find(|run| run.id() == leader.supervisor).unwrap().signal(Signal::KILL);
    wait_until("the command's end", || !is_alive(leader.command));
    let next = bench.next_leader(leader.token);
    let scheme = url.split(':').next().unwrap();
    measured(&format!("{scheme}: takeover after kill -9"), start, Duration::from_millis(500));
    assert_ne!(next.supervisor, leader.supervisor);
}

fn a_disabled_command_ends_until_it_is_enabled(url: &str) {
    let bench = Bench::on(url);
    let mut first = bench.printer(OPTIONS);
    let leader = bench.next_leader(0);
    assert_eq!(status(&bench)["state"], "held");
    assert_eq!(status(&bench)["token"], leader.token);
    let printed = stdout(&bench.output(&["disable", "hello", "--reason", "up\"keep 'n' more"]));
    assert!(printed.contains("hello"), "{printed}");
    wait_until("the command's end", || !is_alive(leader.command));
    assert_eq!(first.exit(), 76);
    assert_eq!(status(&bench)["disabled"]["reason"], "up\"keep 'n' more");
    let refused = bench.run(&["--wait", "2s"], "true").output().unwrap();
    assert_eq!(refused.status.code(), Some(75), "{}", stderr(&refused));
    bench.succeed(&["enable", "hello"]);
    let _second = bench.printer(OPTIONS);
    assert!(bench.next_leader(leader.token).token > leader.token);
}

/// Instances notice the change by a hint: their own heartbeats and polls are further apart than
/// this test waits.
fn disable_and_enable_reach_fifty_instances(url: &str) {
    let bench = Bench::on(url);
    let scheme = url.split(':').next().unwrap();
    let instances = Instances::start(&bench, 50);
    let serve = Serve::start(&bench);
    let within_a_second = |what: &str, start| {
        measured(&format!("{scheme}: {what}, 50 instances"), start, Duration::from_secs(1));
    };
    instances.until_one_leads();
    for round in 0..2 {
        let start = Instant::now();
        bench.succeed(&["disable", "hello", "--reason", "x"]);
        instances.until_disabled();
        within_a_second(&format!("disable {round} by command"), start);
        let start = Instant::now();
        bench.succeed(&["enable", "hello"]);
        instances.until_one_leads();
        within_a_second(&format!("enable {round} by command"), start);
        let start = Instant::now();
        serve.post("/v1/locks/hello/disable", r#"{"reason":"x"}"#);
        instances.until_disabled();
        within_a_second(&format!("disable {round} by HTTP"), start);
        let start = Instant::now();
        serve.post("/v1/locks/hello/enable", "{}");
        instances.until_one_leads();
        within_a_second(&format!("enable {round} by HTTP"), start);
    }
}

fn status(bench: &Bench) -> Value {
    let output = bench.succeed(&["status", "hello", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn the_schema_can_be_printed_and_applied(url: &str) {
    let bench = Bench::on(url);
    bench.succeed(&["schema"]);
    for _ in 0..2 {
        bench.succeed(&["schema", "--apply"]);
    }
    let listed = bench.output(&["status", "--json"]);
    assert_eq!(stdout(&listed), "[]\n", "{}", stderr(&listed));
}

fn an_unreachable_server_gives_one_line(url: &str) {
    let (start, rest) = url.split_at(url.find("127.0.0.1:").unwrap_or(url.len()));
    let end = rest.find('/').map_or("", |slash| &rest[slash..]);
    let bench = Bench::on(&format!("{start}127.0.0.1:1{end}"));
    let output = bench.output(&["status"]);
    let printed = stderr(&output);
    assert!(!output.status.success());
    assert_eq!(printed.lines().count(), 1, "not one line: {printed}");
    assert!(printed.contains("127.0.0.1:1") && !printed.contains("secret"), "{printed}");
}
