//! Scripts, shells and other programs get JSON, logs, completions and manual pages.

use std::fs;

use serde_json::Value;

use crate::support::{Bench, assert_refused, leasehold, stderr, stdout};

fn json(bench: &Bench, args: &[&str]) -> Value {
    let output = bench.output(args);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 1);
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn every_command_has_json_output() {
    let bench = Bench::new();
    let applied = json(&bench, &["schema", "--apply", "--json"]);
    assert_eq!(applied["applied"], true);
    assert!(applied["store"].as_str().unwrap().starts_with("sqlite:"));
    let statements = json(&bench, &["schema", "--json"]);
    assert_eq!(statements["statements"], stdout(&bench.output(&["schema"])));

    let first = json(&bench, &["disable", "a\nb", "--reason", "why", "--json"]);
    assert_eq!((&first["name"], &first["outcome"]), (&"a\nb".into(), &"disabled".into()));
    assert!(first["by"].as_str().unwrap().contains('@'));
    let second = json(&bench, &["disable", "a\nb", "--reason", "another", "--json"]);
    assert_eq!(
        (&second["outcome"], &second["reason"]),
        (&"already_disabled".into(), &"why".into())
    );
    assert_eq!(json(&bench, &["enable", "a\nb", "--json"])["outcome"], "enabled");
    assert_eq!(json(&bench, &["enable", "a\nb", "--json"])["outcome"], "already_enabled");
}

#[test]
fn standard_error_can_be_json() {
    let bench = Bench::new();
    let disabled = ["disable", "hello", "--reason", "upgrade"];
    bench.output(&disabled);
    let mut run = bench.run(&["--wait", "0s", "--log-format", "json", "--log", "debug"], "true");
    let output = run.output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    let lines: Vec<Value> =
        stderr(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    let message = &lines.last().unwrap()["fields"]["message"];
    assert!(message.as_str().unwrap().contains("disabled: upgrade"), "{message}");

    let by_variable = bench
        .leasehold(&["run", "--wait", "0s", "--lock", "hello", "--", "true"])
        .env("LEASEHOLD_LOG_FORMAT", "json")
        .output()
        .unwrap();
    serde_json::from_str::<Value>(&stderr(&by_variable)).unwrap();
}

#[test]
fn completions_exist_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = leasehold().args(["completions", shell]).output().unwrap();
        assert!(output.status.success());
        for word in ["stop-grace", "heartbeat-interval", "status"] {
            assert!(stdout(&output).contains(word), "{shell}: {word}");
        }
    }
    let output = leasehold().args(["completions", "cmd"]).output().unwrap();
    assert_refused(&output, 2, &["cmd", "bash"]);
    let script = stdout(&leasehold().args(["completions", "bash"]).output().unwrap());
    let bench = Bench::new();
    fs::write(bench.path("complete"), script).unwrap();
    let checked = std::process::Command::new("bash").arg("-n").arg(bench.path("complete")).status();
    // Some machines have no bash.
    assert!(checked.is_ok_and(|status| status.success()) || !fs::exists("/bin/bash").unwrap());
}

/// Each heading lists the options that belong to it.
#[test]
fn help_lists_each_option_under_its_heading() {
    let help = |args: &[&str]| stdout(&leasehold().args(args).arg("--help").output().unwrap());
    let main = help(&[]);
    for store in ["sqlite:", "postgres:", "mysql:", "redis:", "mongodb:", "etcd:", "memory:"] {
        assert!(main.contains(&format!("\n  {store}")), "{store} is not in {main}");
    }
    let section = |text: &str, heading: &str| {
        let (_, rest) = text.split_once(&format!("\n{heading}:\n")).unwrap();
        rest.split("\n\n").next().unwrap().to_owned()
    };
    let run = help(&["run"]);
    assert!(section(&run, "Arguments").contains("<CMD>..."), "{run}");
    assert!(!section(&run, "Access over HTTP").contains("CMD"), "{run}");
    assert!(section(&help(&["config"]), "Options").contains("--json"));
}

#[test]
fn man_writes_manual_pages() {
    let bench = Bench::new();
    let main = stdout(&bench.output(&["man"]));
    assert!(main.contains(".TH leasehold 1") && main.contains("leasehold\\-run(1)"), "{main}");
    let run = stdout(&bench.output(&["man", "run"]));
    assert!(run.contains(".TH leasehold-run 1") && run.contains("\\-\\-stop\\-grace"), "{run}");
    assert_refused(&bench.output(&["man", "frob"]), 2, &["frob", "status"]);
    bench.succeed(&["man", "--dir", "."]);
    for name in ["leasehold", "leasehold-run", "leasehold-status", "leasehold-config"] {
        assert!(bench.text(&format!("{name}.1")).contains(&format!(".TH {name} 1")), "{name}");
    }
    assert_refused(&bench.output(&["man", "--dir", "no/such"]), 1, &["cannot write"]);
}

/// Completions need neither settings nor a store.
#[test]
fn completions_work_with_an_invalid_configuration() {
    for args in [&["completions", "zsh"][..], &["man"], &["--help"], &["--version"]] {
        let output = leasehold().args(args).env("LEASEHOLD_TTL", "broken").output().unwrap();
        assert!(output.status.success());
    }
}
