//! After a supervisor was killed, its watchdog releases the lease, but only if the command has
//! certainly ended.
//!
//! Leases last so long here that they do not expire within a test.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::{Bench, Running, assert_refused, is_alive, leasehold, send, wait_until};

const OPTIONS: &[&str] = &["--ttl", "1h", "--stop-grace", "1s"];

/// Starts a run that writes its messages to the file `messages`, and waits until its command has
/// written the file `up`.
fn started(bench: &Bench, mut run: Command) -> Running {
    let messages = File::create(bench.path("messages")).unwrap();
    // A process that stays must not keep the output of the tests open.
    let run = Running(run.stdout(Stdio::null()).stderr(messages).spawn().unwrap());
    wait_until("the command", || bench.text("up").ends_with('\n'));
    run
}

/// Kills the supervisor, and waits until its watchdog has ended too.
fn kill(run: &Running) {
    let watchdog = run.watchdog();
    run.signal(Signal::KILL);
    wait_until("the watchdog's end", || !is_alive(watchdog));
}

/// Returns whether the watchdog has read its orders: its timer is then set.
fn has_orders(watchdog: u32) -> bool {
    let is_set = |info: &str| {
        info.lines().filter_map(|line| line.strip_prefix("it_value: ")).any(|left| left != "(0, 0)")
    };
    let Ok(infos) = fs::read_dir(format!("/proc/{watchdog}/fdinfo")) else { return false };
    infos.flatten().any(|info| fs::read_to_string(info.path()).is_ok_and(|info| is_set(&info)))
}

fn assert_not_released(bench: &Bench) {
    let messages = bench.text("messages");
    assert!(messages.contains("lock \"hello\" is not released"), "{messages}");
    let next = bench.run(&["--wait", "0s"], "exit 3").output().unwrap();
    assert_refused(&next, 75, &["held by"]);
}

/// The watchdog is in another working folder than the supervisor was, and has no pipe of it open.
#[test]
fn a_lease_in_a_store_with_a_relative_path_is_released() {
    let bench = Bench::new();
    let mut run = leasehold();
    run.args(["--store", "sqlite:locks.db", "run", "--lock", "hello"]).args(OPTIONS);
    run.args(["--", "sh", "-c", "echo $$ > up; while :; do sleep 0.03; done"]);
    run.current_dir(bench.path(""));
    kill(&started(&bench, run));
    let messages = bench.text("messages");
    assert!(messages.contains("released lock \"hello\""), "{messages}");
    let next = bench.run(&["--wait", "0s"], "exit 3").status().unwrap();
    assert_eq!(next.code(), Some(3));
}

#[test]
fn a_replaced_watchdog_releases_the_lease() {
    let bench = Bench::new();
    let run = bench.printer(OPTIONS);
    let leader = bench.next_leader(0);
    let watchdog = run.watchdog();
    send(watchdog, Signal::KILL);
    wait_until("another watchdog", || {
        let other = run.watchdog();
        other != watchdog && has_orders(other)
    });
    kill(&run);
    let second = bench.printer(OPTIONS);
    assert_eq!(bench.next_leader(leader.token).supervisor, second.id());
}

#[test]
fn a_process_that_left_the_group_keeps_the_lease() {
    let bench = Bench::new();
    let script = "setsid sh -c 'echo $$ > up; exec sleep 600' & wait";
    kill(&started(&bench, bench.run(OPTIONS, script)));
    let left = bench.text("up").trim().parse().unwrap();
    assert!(is_alive(left), "the process must still run for this test to be meaningful");
    assert_not_released(&bench);
    send(left, Signal::KILL);
}

/// The supervisor and its watchdog may not signal processes of other users here.
#[test]
fn a_process_that_cannot_be_killed_keeps_the_lease() {
    let restricted = ["--bounding-set=-kill", "--inh-caps=-kill"];
    let other_user = ["--reuid=65534", "--clear-groups"];
    let is_allowed = Command::new("setpriv").args(restricted).args(other_user).arg("true").output();
    if !is_allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: the tests do not run as root here");
        return;
    }
    let bench = Bench::new();
    let script = format!(
        "sh -c 'echo $$ > pid; exec setpriv {} sh -c \"echo; exec sleep 600\" > up' & wait",
        other_user.join(" ")
    );
    let run = bench.run(OPTIONS, &script);
    let mut restricted_run = Command::new("setpriv");
    restricted_run.args(restricted).arg(run.get_program()).args(run.get_args());
    restricted_run.current_dir(bench.path(""));
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => restricted_run.env(name, value),
            None => restricted_run.env_remove(name),
        };
    }
    kill(&started(&bench, restricted_run));
    let left = bench.text("pid").trim().parse().unwrap();
    assert!(is_alive(left), "the process must still run for this test to be meaningful");
    assert_not_released(&bench);
    send(left, Signal::KILL);
}
