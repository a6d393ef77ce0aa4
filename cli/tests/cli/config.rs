//! Settings come from several sources, and `leasehold config` shows them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Bench, assert_refused, leasehold, stderr, stdout};

/// Runs `leasehold config --json` with those options in the folder of the bench.
fn config(bench: &Bench, args: &[&str], variables: &[(&str, &str)]) -> Value {
    let output = command_in(bench, &["config", "--json"], variables).args(args).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// Returns a command in the folder of the bench, without its store.
fn command_in(bench: &Bench, args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = leasehold();
    command.args(args).envs(variables.iter().copied()).current_dir(bench.path(""));
    command
}

#[test]
fn config_shows_the_source_of_each_setting() {
    let bench = Bench::new();
    fs::write(bench.path("leasehold.toml"), "ttl = '20s'\nstop_grace = '2s'\nrespawn = true\n")
        .unwrap();
    fs::write(bench.path("config.json"), r#"{"masterJobExecutor": {"initDelay": 250}}"#).unwrap();
    let variables = [("LEASEHOLD_TTL", "30s"), ("CHECK_MASTER_INTERVAL", "4000")];
    let shown = config(&bench, &["--ttl", "40s", "--respawn=false"], &variables);
    let settings = &shown["settings"];
    for (key, value, source, from) in [
        ("ttl", "40s", "option", "option --ttl"),
        ("stop_grace", "2s", "file", "stop_grace in leasehold.toml"),
        ("poll_interval", "4s", "environment", "environment variable CHECK_MASTER_INTERVAL"),
        ("start_delay", "250ms", "file", "masterJobExecutor.initDelay in config.json"),
        ("margin", "2s", "default", "default"),
    ] {
        let setting = &settings[key];
        assert_eq!((&setting["value"], &setting["source"]), (&value.into(), &source.into()));
        assert_eq!(setting["from"], from);
    }
    assert_eq!(
        (&settings["ttl"]["ms"], &settings["wait"]["value"]),
        (&40_000.0.into(), &Value::Null)
    );
    assert_eq!(settings["respawn"]["value"], false);
    assert_eq!(settings["respawn"]["source"], "option");
    assert_eq!(settings["heartbeat_retries"]["value"], 3);
    assert_eq!(shown["files"], serde_json::json!(["config.json", "leasehold.toml"]));

    let table = stdout(&command_in(&bench, &["config"], &variables).output().unwrap());
    let line = table.lines().find(|line| line.starts_with("ttl ")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words, ["ttl", "30s", "environment", "variable", "LEASEHOLD_TTL"]);
    assert!(table.ends_with("read: config.json\nread: leasehold.toml\n"), "{table}");
    assert!(!table.contains('\u{1b}'));
}

#[test]
#[cfg(feature = "postgres")]
fn no_password_is_shown() {
    let bench = Bench::new();
    fs::write(bench.path("leasehold.toml"), "store = 'postgres://u:secret@h/d?password=secret'")
        .unwrap();
    for args in [&["config"][..], &["config", "--json"]] {
        let output = command_in(&bench, args, &[]).output().unwrap();
        let shown = stdout(&output);
        assert!(shown.contains("postgres://***@h/d?***") && !shown.contains("secret"), "{shown}");
    }
}

/// The store is a real one at each level, and the disabled names show which one was opened.
#[test]
fn the_store_of_the_highest_source_is_opened() {
    let bench = Bench::new();
    let url = |name: &str| format!("sqlite:{}", bench.path(name).display());
    let (option, variable, file) = (url("option"), url("variable"), url("file"));
    fs::write(bench.path("leasehold.toml"), format!("store = {file:?}\nnamespace = 'ns'")).unwrap();
    let disable = |args: &[&str], variables: &[(&str, &str)], reason: &str| {
        let args = [args, &["disable", "x", "--reason", reason]].concat();
        assert!(command_in(&bench, &args, variables).status().unwrap().success());
    };
    disable(&[], &[], "file");
    disable(&[], &[("LEASEHOLD_STORE", &variable)], "variable");
    disable(&["--store", &option], &[("LEASEHOLD_STORE", &variable)], "option");
    for (store, reason) in [(&file, "file"), (&variable, "variable"), (&option, "option")] {
        let args = ["--store", store, "status", "x", "--json"];
        let output = command_in(&bench, &args, &[]).output().unwrap();
        let status: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(status["disabled"]["reason"], reason);
    }
    let elsewhere = ["--store", &option, "--namespace", "other", "schema", "--apply"];
    assert!(command_in(&bench, &elsewhere, &[]).status().unwrap().success());
}

#[test]
fn run_reads_all_settings_from_files_and_environment() {
    let bench = Bench::new();
    let url = format!("sqlite:{}", bench.path("locks.db").display());
    fs::write(
        bench.path("my.toml"),
        format!(
            "store = {url:?}\nlock_name = 'from file'\nlabel = 'web-7'\nttl = '3s'\nwait = '0s'"
        ),
    )
    .unwrap();
    let script = "echo $LEASEHOLD_LOCK; exec $0 --config my.toml status \"$LEASEHOLD_LOCK\" --json";
    let binary = env!("CARGO_BIN_EXE_leasehold");
    let run = ["run", "--", "sh", "-c", script, binary];
    let output = command_in(&bench, &run, &[("LEASEHOLD_CONFIG", "my.toml")]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let printed = stdout(&output);
    let (name, status) = printed.split_once('\n').unwrap();
    let status: Value = serde_json::from_str(status).unwrap();
    assert_eq!((name, &status["holder"]["label"]), ("from file", &"web-7".into()));
    assert!(status["left_ms"].as_u64().unwrap() <= 3000);

    // Without a wait there is one attempt; an option overrides the file.
    let held = command_in(&bench, &["--config", "my.toml", "run", "--", "sleep", "30"], &[]);
    let _held = crate::support::Running::start(held);
    crate::support::wait_until("the lock to be held", || {
        let args = ["--config", "my.toml", "status", "from file"];
        stdout(&command_in(&bench, &args, &[]).output().unwrap()).contains("held")
    });
    let again = ["--config", "my.toml", "run", "--", "true"];
    assert_eq!(command_in(&bench, &again, &[]).output().unwrap().status.code(), Some(75));
    let other = ["--config", "my.toml", "run", "--lock", "other", "--", "true"];
    assert_eq!(command_in(&bench, &other, &[]).output().unwrap().status.code(), Some(0));
}

#[test]
fn invalid_values_name_their_source() {
    let bench = Bench::new();
    let refused = |args: &[&str], variables: &[(&str, &str)], words: &[&str]| {
        assert_refused(&command_in(&bench, args, variables).output().unwrap(), 2, words);
    };
    refused(
        &["run", "--lock", "a", "--", "true"],
        &[("LEASEHOLD_TTL", "15")],
        &["environment variable LEASEHOLD_TTL: \"15\" is not a valid duration; use a duration"],
    );
    refused(&["status", "--log", "a=b=c"], &[], &["option --log: ", "is not a valid filter"]);
    refused(&["status"], &[("LEASEHOLD_LOG_FORMAT", "xml")], &["use text or json"]);
    refused(&["config", "--config", "absent"], &[], &["option --config: absent cannot be read"]);
    refused(&["run", "--", "true"], &[], &["--lock", "LEASEHOLD_LOCK_NAME"]);
    fs::write(bench.path("leasehold.toml"), "heartbeet_interval = '1s'").unwrap();
    refused(&["config"], &[], &["unknown key", "did you mean heartbeat_interval?"]);
}

/// An operator's command does not fail because of a setting that it does not use, which may be
/// another program's.
#[test]
fn a_setting_that_a_command_does_not_use_may_be_invalid() {
    let bench = Bench::new();
    let printed = |variable: (&str, &str)| {
        let mut command = bench.leasehold(&["disable", "a", "--reason", "b"]);
        let output = command.envs([variable]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    assert_eq!(printed(("INIT_DELAY", "30s")), "");
    assert_eq!(printed(("MASTER_JOB_HEARTBEAT_INTERVAL", "0")), "");
    let warning = printed(("LEASEHOLD_TTL", "15"));
    assert!(warning.contains("LEASEHOLD_TTL: \"15\" is not a valid duration"), "{warning}");
    assert!(warning.contains("(ignored: not used by this command)"), "{warning}");
    let warning = printed(("LEASEHOLD_STOP_GRACE", "1h"));
    assert!(warning.contains("stop_grace from environment variable"), "{warning}");

    let run = ["run", "--lock", "a", "--", "true"];
    let output = bench.leasehold(&run).env("INIT_DELAY", "30s").output().unwrap();
    assert_refused(&output, 2, &["environment variable INIT_DELAY", "whole number"]);
    let output = bench.leasehold(&["status"]).env("LEASEHOLD_NAMESPACE", "A b").output().unwrap();
    assert_refused(&output, 2, &["not a valid namespace"]);
}

/// Such a folder is the home of another user, or any home under systemd's `ProtectHome=`.
#[test]
fn a_folder_that_may_not_be_searched_has_no_file() {
    let bench = Bench::new();
    let (home, state) = (bench.path("home"), bench.path("state"));
    for folder in [home.join("leasehold"), state.join("leasehold")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(home.join("leasehold/leasehold.toml"), "namespace = 'x'").unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&bench.path(""), 0o755);
    // Root may search every folder, so this is tried as the user nobody.
    let command = |args: &[&str]| {
        let mut command = leasehold();
        if rustix::process::getuid().is_root() {
            command.uid(65534).gid(65534);
        }
        command.env("XDG_CONFIG_HOME", &home).env("XDG_STATE_HOME", &state);
        command.args(args).current_dir("/").output().unwrap()
    };
    mode(&home, 0o000);
    mode(&state, 0o000);
    let output = command(&["--store", "memory:", "status", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    // The state of the default store is unknown, which is different from empty.
    assert_refused(&command(&["status"]), 2, &["cannot access the default store", "use --store"]);
    // A file that exists and may not be read is an error.
    mode(&home, 0o755);
    mode(&home.join("leasehold/leasehold.toml"), 0o000);
    let refused = command(&["--store", "memory:", "status", "--json"]);
    assert_refused(&refused, 2, &["leasehold.toml cannot be read"]);
    mode(&state, 0o755);
}

/// Otherwise a user who can write to the working folder could choose the store.
#[test]
fn a_file_in_a_folder_that_others_may_write_is_not_read() {
    let bench = Bench::new();
    fs::write(bench.path("leasehold.toml"), "namespace = 'mine'").unwrap();
    assert_eq!(config(&bench, &[], &[])["settings"]["namespace"]["value"], "mine");
    fs::set_permissions(bench.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    let shown = config(&bench, &[], &[]);
    assert_eq!(shown["settings"]["namespace"]["value"], "leasehold");
    let printed = stderr(&command_in(&bench, &["config"], &[]).output().unwrap());
    assert_eq!(
        printed,
        "leasehold: skipped leasehold.toml because its folder is writable by everybody; \
         to use it, pass it with --config or LEASEHOLD_CONFIG\n"
    );
    let named = config(&bench, &["--config", "leasehold.toml"], &[]);
    assert_eq!(named["settings"]["namespace"]["value"], "mine");
}

#[test]
fn a_misspelt_variable_causes_a_warning() {
    let bench = Bench::new();
    let output = command_in(&bench, &["config"], &[("LEASEHOLD_NAMSPACE", "x")]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        stderr(&output),
        "leasehold: ignored environment variable LEASEHOLD_NAMSPACE; \
         did you mean LEASEHOLD_NAMESPACE?\n"
    );
}
