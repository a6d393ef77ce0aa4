//! Runs end correctly without the lock, after a signal, and with a command that ignores signals.

use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{
    Bench, Running, assert_refused, is_alive, measured, stderr, wait_for, wait_until,
};

#[test]
fn wait_timeout_exits_75() {
    let bench = Bench::new();
    let holder = bench.printer(&[]);
    bench.next_leader(0);
    for limit in [Duration::ZERO, Duration::from_millis(300)] {
        let mut limit = limit;
        let printed = loop {
            let start = Instant::now();
            let wait = format!("{}ms", limit.as_millis());
            let output = bench.run(&["--wait", &wait], "echo ran >> prints").output().unwrap();
            measured("the timeout", start, limit);
            assert!(start.elapsed() >= limit, "the run timed out too soon");
            let printed = stderr(&output);
            assert_eq!(output.status.code(), Some(75), "{printed}");
            // On a busy machine there may be no reply within such a short wait.
            if printed.contains("held by") || limit.is_zero() || limit > Duration::from_secs(30) {
                break printed;
            }
            limit *= 2;
        };
        let last = printed.lines().last().unwrap();
        assert!(last.contains("timed out waiting for lock \"hello\": held by"), "{printed}");
        assert!(last.contains("pid"), "{printed}");
    }
    assert!(!bench.text("prints").contains("ran"));
    drop(holder);
}

#[test]
fn wait_0_acquires_a_free_lock() {
    let bench = Bench::new();
    assert_eq!(bench.run(&["--wait", "0s"], "exit 3").status().unwrap().code(), Some(3));
    bench.output(&["disable", "hello", "--reason", "maintenance"]);
    let output = bench.run(&["--wait", "0s"], "exit 3").output().unwrap();
    assert_refused(&output, 75, &["disabled: maintenance"]);
}

/// In a crontab, `run --wait 0 --quiet -E 0` sends no mail if another machine runs the job.
#[test]
fn quiet_and_conflict_exit_code_skip_a_held_lock() {
    let bench = Bench::new();
    let holder = bench.printer(&[]);
    bench.next_leader(0);
    let run = |options: &[&str]| {
        let output = bench.run(options, "exit 3").output().unwrap();
        (output.status.code(), stderr(&output))
    };
    // The wait is long enough for a reply of the store, even on a busy machine.
    for wait in ["0", "3s"] {
        assert_eq!(run(&["--wait", wait, "--quiet"]), (Some(75), String::new()));
        assert_eq!(run(&["--wait", wait, "-q", "-E", "0"]), (Some(0), String::new()));
    }
    let (status, printed) = run(&["--wait", "0", "--conflict-exit-code", "9"]);
    assert!(status == Some(9) && printed.contains("held by"), "{status:?} {printed}");
    drop(holder);

    bench.output(&["disable", "hello", "--reason", "maintenance"]);
    assert_eq!(run(&["--wait", "0", "-q", "-E", "4"]), (Some(4), String::new()));
    bench.output(&["enable", "hello"]);
    wait_until("the lock", || run(&["--wait", "0", "-q", "-E", "4"]).0 != Some(4));
    assert_eq!(run(&["--wait", "0", "-q", "-E", "4"]), (Some(3), String::new()));
}

/// A server that accepts connections but does not respond is not a conflict, and its time counts
/// towards `--wait`.
#[test]
#[cfg(feature = "postgres")]
fn opening_a_store_counts_towards_the_wait() {
    let bench = Bench::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("postgres://u@{}/d?sslmode=disable", silent.local_addr().unwrap());
    let mut command = crate::support::leasehold();
    command.args(["--store", &store, "run", "--lock", "a", "--wait", "300ms", "-q", "-E", "0"]);
    let mut run = Running::start({
        command.args(["--", "touch"]).arg(bench.path("ran"));
        command
    });
    assert_eq!(run.exit(), 75);
    let printed = run.stderr();
    assert!(printed.contains("did not respond within --wait"), "{printed}");
    assert!(!bench.path("ran").exists());
}

/// The transaction of another connection blocks the release of the lock. It ends only after the
/// run.
#[test]
fn a_hanging_store_does_not_delay_sigterm() {
    let bench = Bench::new();
    let mut run = bench.printer(&["--ttl", "1h"]);
    bench.next_leader(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::{Connection, Executor, SqliteConnection};
        let file = bench.path("locks.db");
        let mut other = SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        run.signal(Signal::TERM);
        // The release waits for half a minute at most.
        assert_eq!(run.exit(), 143);
        other.execute("ROLLBACK").await.unwrap();
    });
}

#[test]
fn a_signal_ends_the_wait() {
    let bench = Bench::new();
    let _holder = bench.printer(&[]);
    bench.next_leader(0);
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut waiting = Running::start(bench.run(&[], "echo ran >> prints"));
        let mut stderr = BufReader::new(waiting.0.stderr.take().unwrap());
        let mut printed = String::new();
        stderr.read_line(&mut printed).unwrap();
        waiting.signal(signal);
        assert_eq!(waiting.exit(), status);
        stderr.read_to_string(&mut printed).unwrap();
        assert_eq!(printed.lines().count(), 1, "{printed}");
        assert!(printed.contains("waiting for lock \"hello\": held by"), "{printed}");
    }
    assert!(!bench.text("prints").contains("ran"));
}

#[test]
fn leftover_processes_end_before_the_release() {
    let bench = Bench::new();
    // One process ends when asked, the other has to be killed.
    let script = "sh -c 'echo $$ >> left; exec sleep 60' &
                  sh -c 'trap \"\" TERM; echo $$ >> left; while :; do sleep 0.05; done' &
                  while [ $(wc -l < left) -lt 2 ]; do sleep 0.02; done; exit 4";
    std::fs::write(bench.path("left"), "").unwrap();
    let start = Instant::now();
    let output = bench.run(&["--stop-grace", "400ms"], script).output().unwrap();
    measured("a grandchild that ignores SIGTERM", start, Duration::from_millis(400));
    assert_eq!(output.status.code(), Some(4));
    // A busy machine may be slower than the stop grace.
    let printed = stderr(&output);
    assert!(
        printed.lines().all(|line| line.contains("did not stop within its grace")),
        "{printed}"
    );
    for pid in bench.text("left").lines() {
        assert!(!is_alive(pid.parse().unwrap()), "{pid} was orphaned");
    }
}

#[test]
fn a_command_ignoring_sigterm_is_killed_after_the_grace() {
    let bench = Bench::new();
    let trap = "trap 'echo TERM >> got' TERM; trap 'echo INT >> got' INT";
    let mut run = bench.printer_with(trap, &["--stop-grace", "700ms"]);
    let leader = bench.next_leader(0);
    let start = Instant::now();
    run.signal(Signal::INT);
    wait_until("the signal", || bench.text("got") == "INT\n");
    run.signal(Signal::TERM);
    assert_eq!(run.exit(), 137);
    measured("a command that ignores SIGTERM", start, Duration::from_millis(700));
    assert!(start.elapsed() >= Duration::from_millis(700), "the grace was cut short");
    assert!(!is_alive(leader.command));
    assert_eq!(bench.text("got"), "INT\nTERM\n", "each signal is forwarded once");
}

#[test]
fn a_stop_sends_sigterm_once_and_kills_within_the_lease() {
    let bench = Bench::new();
    let trap = "trap 'echo TERM >> got' TERM";
    let mut run = bench.printer_with(trap, &["--ttl", "3s", "--stop-grace", "900ms"]);
    let leader = bench.next_leader(0);
    let start = Instant::now();
    bench.output(&["disable", "hello", "--reason", "x"]);
    assert_eq!(run.exit(), 76);
    measured("a command that ignores its stop", start, Duration::from_millis(900));
    assert!(!is_alive(leader.command));
    assert_eq!(bench.text("got"), "TERM\n");
    // The shell also prints a message when its `sleep` is terminated.
    let printed = run.stderr();
    assert_eq!(
        printed.lines().last(),
        Some("leasehold: lost lock \"hello\": disabled: x"),
        "{printed}"
    );
    assert_eq!(printed.matches("leasehold").count(), 1, "{printed}");
}

#[test]
fn a_suspended_command_ends_on_sigterm() {
    let bench = Bench::new();
    let mut run = bench.printer_with("trap 'echo bye >> got; exit 9' TERM", &[]);
    let leader = bench.next_leader(0);
    crate::support::send(leader.command, Signal::STOP);
    run.signal(Signal::TERM);
    assert_eq!(run.exit(), 9);
    assert_eq!(bench.text("got"), "bye\n");
}

#[test]
fn the_watchdog_does_not_keep_output_open() {
    let bench = Bench::new();
    // The kernel kills the command with its supervisor; the watchdog ends the command's own
    // children.
    let child = "trap '' TERM; echo $$ > pid; exec >/dev/null 2>&1
                 while ! test -e end; do sleep 0.05; done";
    let script = format!("echo first; sh -c '{}' & exec sleep 60", child.replace('\'', "'\\''"));
    let mut command = bench.run(&["--ttl", "10m", "--stop-grace", "2m"], &script);
    let mut run = Running::start({
        command.stdout(std::process::Stdio::piped());
        command
    });
    wait_until("the command", || bench.text("pid").ends_with('\n'));
    let (watchdog, mut out) = (run.watchdog(), run.0.stdout.take().unwrap());
    run.signal(Signal::KILL);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut out, &mut text).unwrap();
    assert_eq!(run.stderr(), "");
    assert!(is_alive(watchdog), "the watchdog must still run for this test to be meaningful");
    assert_eq!(text, "first\n");
    std::fs::write(bench.path("end"), "").unwrap();
    wait_until("the end of the watchdog", || !is_alive(watchdog));
    assert!(!is_alive(bench.text("pid").trim().parse().unwrap()));
}

#[test]
fn sigkill_at_any_moment_leaves_no_processes() {
    let bench = Bench::new();
    for delay in 0..12 {
        let script = "trap '' TERM; echo $$ >> pids; while :; do sleep 0.02; done";
        let mut run = bench.run(&["--ttl", "1s"], script);
        let mut run = run.stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay * 2));
        run.kill().unwrap();
        run.wait().unwrap();
    }
    std::thread::sleep(Duration::from_millis(1500));
    for pid in bench.text("pids").lines() {
        wait_for("its end", || (!is_alive(pid.parse().unwrap())).then_some(()));
    }
}
