//! `leasehold status` shows locks to people and to scripts.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::{Value, json};

use crate::support::{Bench, Running, stdout};

fn json(bench: &Bench, args: &[&str]) -> Value {
    let output = bench.output(args);
    assert!(output.status.success());
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn status_json_has_every_field() {
    let bench = Bench::new();
    let run = bench.printer(&[]);
    let leader = bench.next_leader(0);
    let held = json(&bench, &["status", "hello", "--json"]);
    let mut fields: Vec<_> = held.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "capacity",
            "corrupt",
            "disabled",
            "ending",
            "held_for_ms",
            "held_since",
            "holder",
            "holders",
            "kind",
            "left_ms",
            "name",
            "standbys",
            "state",
            "token",
            "waiters"
        ]
    );
    assert_eq!(held["name"], "hello");
    assert_eq!(held["state"], "held");
    assert_eq!(held["token"], leader.token);
    assert_eq!(held["holder"]["pid"], run.id());
    assert!(held["holder"]["instance"].is_string() && held["holder"]["host"].is_string());
    assert!(held["left_ms"].as_u64().unwrap() <= 15_000);
    let since = held["held_since"].as_str().unwrap();
    assert!(since.starts_with("20") && since.ends_with('Z') && since.contains('T'), "{since}");
    for field in ["disabled", "ending", "corrupt"] {
        assert_eq!(held[field], Value::Null);
    }

    bench.output(&["disable", "other", "--reason", "line 1\nline 2"]);
    let all = json(&bench, &["status", "--json"]);
    let names: Vec<_> = all.as_array().unwrap().iter().map(|lock| &lock["name"]).collect();
    assert_eq!(names, ["hello", "other"]);
    let other = &all[1];
    assert_eq!(other["state"], "disabled");
    assert_eq!(
        (&other["token"], &other["holder"], &other["left_ms"]),
        (&json!(null), &json!(null), &json!(null))
    );
    assert_eq!(other["disabled"]["reason"], "line 1\nline 2");
    assert!(other["disabled"]["by"].as_str().unwrap().contains('@'));
    assert!(other["disabled"]["for_ms"].is_u64() && other["disabled"]["since"].is_string());

    let unknown = json(&bench, &["status", "never used", "--json"]);
    assert_eq!((&unknown["name"], &unknown["state"]), (&json!("never used"), &json!("free")));
}

#[test]
fn status_prints_a_table() {
    let bench = Bench::new();
    let run = bench.printer(&[]);
    let leader = bench.next_leader(0);
    bench.output(&["disable", "evil\u{1b}[2J\nname", "--reason", "because"]);
    let table = stdout(&bench.output(&["status"]));
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    let head: Vec<_> = lines[0].split_whitespace().collect();
    assert_eq!(
        head,
        ["NAME", "STATE", "LEFT", "STANDBYS", "HOLDER", "KIND", "SINCE", "TOKEN", "REASON"]
    );
    assert!(lines[1].contains("disabled") && lines[1].trim_end().ends_with("  because"), "{table}");
    assert!(lines[1].starts_with("evil\\u{1b}[2J\\nname "), "{table}");
    for word in ["hello", "held", &format!("pid {}", run.id()), &leader.token.to_string()] {
        assert!(lines[2].contains(word), "{table}");
    }
    assert!(!table.contains('\u{1b}'));
    let states =
        lines.iter().map(|line| line.find("STATE").or(line.find("disabled")).or(line.find("held")));
    let states: Vec<_> = states.map(Option::unwrap).collect();
    assert!(states.iter().all(|at| *at == states[0]), "{table}");
}

#[test]
fn watching_follows_each_change() {
    let bench = Bench::new();
    bench.output(&["schema", "--apply"]);
    let mut command = bench.leasehold(&["status", "hello", "--json", "--watch"]);
    command.stdout(Stdio::piped());
    let mut watching = Running::start(command);
    let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["state"], "free");
    let mut run = bench.printer(&[]);
    assert_eq!(next()["state"], "held");
    bench.output(&["disable", "hello", "--reason", "x"]);
    let mut state = next();
    if state["state"] == "ending" {
        assert_eq!(state["ending"], "x");
        state = next();
    }
    assert_eq!(state["state"], "disabled");
    assert_eq!(run.exit(), 76);
    bench.output(&["enable", "hello"]);
    assert_eq!(next()["state"], "free");
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let bench = Bench::new();
    bench.output(&["schema", "--apply"]);
    let mut command = bench.leasehold(&["status", "--watch"]);
    command.stdout(Stdio::piped());
    let mut watching = Running::start(command);
    drop(watching.0.stdout.take());
    bench.output(&["disable", "hello", "--reason", "x"]);
    assert_eq!(watching.exit(), 0);
    assert_eq!(watching.stderr(), "");
}

/// Creates a terminal with that many columns and rows as the standard output of a command.
fn terminal(command: &mut Command, columns: u16, rows: u16) -> File {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let screen = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&screen, size).unwrap();
    command.stdout(screen);
    controller.into()
}

/// Reads from a terminal until it has shown that text.
fn until_shown(terminal: &mut File, what: &str) -> String {
    let (mut shown, mut chunk) = (String::new(), [0; 4096]);
    while !shown.contains(what) {
        let count = terminal.read(&mut chunk).unwrap();
        shown.push_str(&String::from_utf8_lossy(&chunk[..count]));
    }
    shown
}

#[test]
fn colours_are_for_terminals_only() {
    let bench = Bench::new();
    bench.output(&["disable", "hello", "--reason", "because"]);
    let plain = stdout(&bench.output(&["status"]));
    assert!(plain.contains("hello  disabled  ") && !plain.contains('\u{1b}'), "{plain}");

    let status = |variable: Option<&str>| {
        let mut command = bench.leasehold(&["status"]);
        command.env_remove("NO_COLOR").env("TERM", "xterm");
        command.envs(variable.map(|name| (name, "1")));
        let mut terminal = terminal(&mut command, 200, 24);
        let mut running = Running::start(command);
        let shown = until_shown(&mut terminal, "because");
        assert_eq!(running.exit(), 0);
        shown
    };
    let coloured = status(None);
    assert!(coloured.contains("hello  \u{1b}[31mdisabled\u{1b}[0m  "), "{coloured:?}");
    assert!(!status(Some("NO_COLOR")).contains('\u{1b}'));
}

#[test]
fn watching_on_a_terminal_draws_a_live_table_that_fits() {
    let bench = Bench::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        bench.output(&["disable", name, "--reason", "because it is so"]);
    }
    let mut command = bench.leasehold(&["status", "--watch"]);
    command.env("NO_COLOR", "1");
    let mut terminal = terminal(&mut command, 20, 6);
    let _watching = Running::start(command);
    let shown = until_shown(&mut terminal, "and 3 more");
    assert!(shown.trim_start().starts_with("\u{1b}[H"), "{shown:?}");
    let lines: Vec<_> = shown.lines().map(|line| line.trim_start_matches("\u{1b}[H")).collect();
    assert!(lines.iter().all(|line| line.trim_end_matches("\u{1b}[K").len() <= 20), "{shown:?}");
    bench.output(&["enable", "a"]);
    until_shown(&mut terminal, "free");
    // Without the store, the last known state is still shown, marked as out of date.
    for file in ["locks.db", "locks.db-wal"] {
        File::options().write(true).open(bench.path(file)).unwrap().set_len(0).unwrap();
    }
    until_shown(&mut terminal, "Out of date");
    until_shown(&mut terminal, "NAME");
}
