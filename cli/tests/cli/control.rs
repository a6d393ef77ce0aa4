//! These tests disable, enable, resign and prune locks, and create the schema.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{Connection, SqliteConnection};

use crate::support::{
    Bench, assert_refused, is_alive, leasehold, measured, stderr, stdout, wait_until,
};

#[test]
fn disable_and_enable_print_their_outcome() {
    let bench = Bench::new();
    let printed = |args: &[&str]| {
        let output = bench.output(args);
        assert!(output.status.success());
        stdout(&output)
    };
    assert_eq!(printed(&["disable", "X", "--reason", "first"]), "Flagged X as disabled\n");
    let again = printed(&["disable", "X", "--reason", "second"]);
    assert!(again.starts_with("X is already flagged as disabled: first, by "), "{again}");
    assert_eq!(printed(&["enable", "X"]), "X is flagged for (re)enablement\n");
    assert_eq!(printed(&["enable", "X"]), "X was not disabled; nothing changed\n");
}

#[test]
fn resign_prints_its_outcome() {
    let bench = Bench::new();
    let printed = |args: &[&str]| {
        let output = bench.output(&[&["resign"], args].concat());
        assert!(output.status.success(), "{output:?}");
        stdout(&output)
    };
    bench.output(&["schema", "--apply"]);
    assert_eq!(printed(&["X"]), "X is not held; nothing changed\n");
    assert!(printed(&["X", "--json"]).contains("\"not_held\""));
    bench.output(&["disable", "X", "--reason", "first"]);
    let refused = bench.output(&["resign", "X", "--reason", "second"]);
    assert_refused(&refused, 1, &["X is disabled", ": first, by "]);
    let refused = bench.output(&["resign", "X", "--json"]);
    assert!(refused.status.code() == Some(1) && stdout(&refused).contains("\"disabled\""));
    assert_refused(&bench.output(&["resign", "X", "--reason", ""]), 2, &["reason"]);
    assert_refused(&bench.output(&["resign", ""]), 2, &["name"]);
}

#[test]
fn resign_moves_the_lead_to_another_instance() {
    let bench = Bench::new();
    // Only a hint reports this in time.
    let mut first = bench.printer(&["--ttl", "1h"]);
    let leader = bench.next_leader(0);
    let _standby = bench.printer(&["--ttl", "1h"]);
    let start = Instant::now();
    let output = bench.output(&["resign", "hello", "--reason", "deploy", "--json"]);
    let printed: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&printed["outcome"], &printed["reason"]), (&"resigning".into(), &"deploy".into()));
    assert_eq!(printed["holder"]["pid"], leader.supervisor);
    let next = bench.next_leader(leader.token);
    measured("another's start after resign", start, Duration::from_secs(1));
    assert_ne!(next.supervisor, leader.supervisor);
    assert_eq!(first.exit(), 76);
    assert_eq!(first.stderr(), "leasehold: lost lock \"hello\": disabled: deploy\n");
    let status = stdout(&bench.output(&["status", "hello", "--json"]));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["state"], "held");

    let printed = stdout(&bench.output(&["resign", "hello"]));
    assert!(printed.starts_with("The leader of hello was asked to step down: "), "{printed}");
}

#[test]
fn disable_stops_the_command_and_enable_restarts_one() {
    let bench = Bench::new();
    // Only a hint reports this in time.
    let mut once = bench.printer(&["--ttl", "1h"]);
    let leader = bench.next_leader(0);
    let start = Instant::now();
    bench.succeed(&["disable", "hello", "--reason", "maintenance"]);
    wait_until("the command's end", || !is_alive(leader.command));
    measured("a command's end after disable", start, Duration::from_secs(1));
    assert_eq!(once.exit(), 76);
    assert_eq!(once.stderr(), "leasehold: lost lock \"hello\": disabled: maintenance\n");

    let _standby = bench.printer(&["--ttl", "1h"]);
    std::thread::sleep(Duration::from_millis(500));
    assert!(bench.prints().iter().all(|print| *print == leader), "a disabled lock was granted");
    let start = Instant::now();
    bench.succeed(&["enable", "hello"]);
    bench.next_leader(leader.token);
    measured("a command's start after enable", start, Duration::from_secs(1));
}

#[test]
fn with_respawn_the_command_is_restarted() {
    let bench = Bench::new();
    let mut run = bench.printer(&["--respawn"]);
    let first = bench.next_leader(0);
    bench.output(&["disable", "hello", "--reason", "x"]);
    wait_until("the command's end", || !is_alive(first.command));
    bench.output(&["enable", "hello"]);
    let second = bench.next_leader(first.token);
    assert_eq!(second.supervisor, first.supervisor);
    // A run that is interrupted while it waits does not start the command again.
    bench.output(&["disable", "hello", "--reason", "x"]);
    wait_until("the command's end", || !is_alive(second.command));
    std::thread::sleep(Duration::from_millis(200));
    run.signal(Signal::TERM);
    assert_eq!(run.exit(), 143);
}

#[test]
fn the_printed_schema_is_the_applied_schema() {
    let bench = Bench::new();
    let printed = stdout(&bench.output(&["--namespace", "billing", "schema"]));
    assert!(printed.contains("CREATE TABLE") && printed.contains("billing"), "{printed}");
    assert!(!bench.path("locks.db").exists(), "printing the schema creates no store");
    for _ in 0..2 {
        let applied = bench.output(&["--namespace", "billing", "schema", "--apply"]);
        assert!(applied.status.success());
        assert!(stdout(&applied).contains("locks.db"));
    }
    assert_eq!(stdout(&bench.output(&["--namespace", "billing", "status", "--json"])), "[]\n");
    // The store has the printed schema.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let held: String = runtime.block_on(async {
        let file = bench.path("locks.db");
        let mut database = SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
        let schema = "SELECT group_concat(sql) FROM sqlite_schema WHERE sql IS NOT NULL";
        sqlx::query_scalar(schema).fetch_one(&mut database).await.unwrap()
    });
    let plain = |text: &str| text.split_whitespace().collect::<String>();
    let statements = printed.lines().filter(|line| !line.trim_start().starts_with("--"));
    let statements = statements.collect::<Vec<_>>().join("\n");
    let table = statements.split(';').next().unwrap().replace("IF NOT EXISTS ", "");
    assert!(plain(&held).contains(&plain(&table)), "{table}");
}

#[test]
fn unused_names_are_printed_and_then_removed() {
    let bench = Bench::new();
    let names = |args: &[&str]| {
        let output = bench.output(&[&["prune"], args].concat());
        assert!(output.status.success(), "{output:?}");
        (stdout(&output), stderr(&output))
    };
    for name in ["b", "a\nb", "c"] {
        let run = ["run", "--lock", name, "--", "true"];
        bench.succeed(&run);
    }
    bench.output(&["disable", "c", "--reason", "x"]);
    let listed = || -> Vec<serde_json::Value> {
        let locks: serde_json::Value =
            serde_json::from_str(&stdout(&bench.output(&["status", "--json"]))).unwrap();
        locks.as_array().unwrap().iter().map(|lock| lock["name"].clone()).collect()
    };
    assert_eq!(names(&[]), (String::new(), String::new()), "all names were used recently");
    let (out, printed) = names(&["--unused-for", "0s"]);
    assert_eq!(out, "a\\nb\nb\n");
    assert_eq!(printed, "leasehold: unused names: 2; use --apply to remove them\n");
    assert_eq!(
        names(&["--unused-for", "0s", "--json"]).0,
        "{\"applied\":false,\"names\":[\"a\\nb\",\"b\"]}\n"
    );
    assert_eq!(listed(), ["a\nb", "b", "c"]);
    assert_eq!(names(&["--unused-for", "0s", "--apply"]), ("a\\nb\nb\n".into(), String::new()));
    assert_eq!(listed(), ["c"]);
    assert_refused(&bench.output(&["prune", "--unused-for", "30"]), 2, &["--unused-for", "30d"]);
}

#[test]
fn the_default_store_is_in_the_users_state_folder() {
    let bench = Bench::new();
    let command = |args: &[&str]| {
        let mut command = leasehold();
        command.env("XDG_STATE_HOME", bench.path("state")).args(args).output().unwrap()
    };
    assert_eq!(stdout(&command(&["status", "--json"])), "[]\n");
    assert_eq!(stdout(&command(&["enable", "a"])), "a was not disabled; nothing changed\n");
    assert!(!bench.path("state").exists(), "a command that only reads creates nothing");
    assert_eq!(stdout(&command(&["prune", "--json"])), "{\"applied\":false,\"names\":[]}\n");
    assert!(!bench.path("state").exists(), "a command that only reads creates nothing");
    assert!(command(&["run", "--lock", "a", "--", "true"]).status.success());
    assert!(bench.path("state/leasehold/locks.db").exists());
    assert!(stdout(&command(&["status"])).contains("\na "));
}

/// If the reader has closed the pipe, it does not get the names, so none is removed.
#[test]
fn pruned_names_are_printed_before_they_are_removed() {
    let bench = Bench::new();
    bench.output(&["disable", "a", "--reason", "x"]);
    bench.output(&["enable", "a"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut prune = bench.leasehold(&["prune", "--unused-for", "0s", "--apply"]);
    prune.stdout(writer).status().unwrap();
    assert!(stdout(&bench.output(&["status"])).contains("\na "));
}
