//! Bad input gives one clear line on standard error, exit status 2, and no damage.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::support::{Bench, assert_refused, exists, leasehold};

fn refused_store(url: &str, words: &[&str]) {
    for rest in [
        &["run", "--lock", "a", "--", "true"][..],
        &["status"],
        &["disable", "a", "--reason", "b"],
        &["enable", "a"],
        &["schema", "--apply"],
    ] {
        let output = leasehold().args(["--store", url]).args(rest).output().unwrap();
        assert_refused(&output, 2, words);
    }
}

#[test]
fn invalid_store_urls_are_refused() {
    refused_store("oracle://db/x", &["\"oracle:\"", "sqlite:PATH"]);
    refused_store("no url", &["no scheme", "sqlite:PATH"]);
    refused_store("", &["no scheme"]);
    refused_store("sqlite:", &["empty"]);
    refused_store("memory:x", &["memory:"]);
}

#[test]
fn non_database_files_are_left_unchanged() {
    let bench = Bench::new();
    let folder = bench.path("folder");
    fs::create_dir(&folder).unwrap();
    refused_store(&format!("sqlite:{}", folder.display()), &["is a directory"]);

    let text = bench.path("notes.txt");
    let content = "dear diary, ".repeat(1000);
    fs::write(&text, &content).unwrap();
    refused_store(&format!("sqlite:{}", text.display()), &["not an SQLite database"]);
    assert_eq!(fs::read_to_string(&text).unwrap(), content);
    assert_eq!(fs::read_dir(bench.path("")).unwrap().count(), 2, "a file was left in the folder");

    let nowhere = bench.path("no/such/folder/locks.db");
    refused_store(&format!("sqlite:{}", nowhere.display()), &[]);
}

#[test]
fn a_read_only_database_is_refused() {
    let bench = Bench::new();
    bench.succeed(&["schema", "--apply"]);
    // Root may write everything, so this is tried as the user nobody.
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&bench.path(""), 0o555);
    for file in fs::read_dir(bench.path("")).unwrap() {
        mode(&file.unwrap().path(), 0o444);
    }
    let before = fs::read(bench.path("locks.db")).unwrap();
    for rest in [&["run", "--lock", "a", "--", "true"][..], &["disable", "a", "--reason", "b"]] {
        let mut command = bench.leasehold(rest);
        if rustix::process::getuid().is_root() {
            command.uid(65534).gid(65534);
        }
        assert_refused(&command.output().unwrap(), 2, &["locks.db"]);
    }
    assert_eq!(fs::read(bench.path("locks.db")).unwrap(), before);
    mode(&bench.path(""), 0o755);
}

#[test]
fn status_creates_no_database() {
    let bench = Bench::new();
    for rest in [&["status"][..], &["status", "a"], &["status", "--watch"], &["enable", "a"]] {
        assert_refused(&bench.output(rest), 2, &["locks.db", "does not exist"]);
    }
    assert!(!exists(&bench.path("locks.db")));
}

/// A NUL cannot be passed to a program; the library refuses it from other sources.
#[test]
fn invalid_names_are_refused() {
    let bench = Bench::new();
    let long = "x".repeat(256);
    for (name, word) in [("", "empty"), (&long, "256 bytes")] {
        let run = ["run", "--lock", name, "--", "true"];
        for rest in
            [&run[..], &["status", name], &["disable", name, "--reason", "b"], &["enable", name]]
        {
            assert_refused(&bench.output(rest), 2, &[word]);
        }
    }
    assert_refused(&bench.output(&["disable", "a", "--reason", ""]), 2, &["reason is empty"]);
    assert_refused(&bench.output(&["disable", "a"]), 2, &["--reason"]);
    assert_refused(&bench.output(&["--namespace", "A-b", "status"]), 2, &["not a valid namespace"]);
    let output = leasehold()
        .args(["run", "--lock"])
        .arg(OsStr::from_bytes(b"a\xff"))
        .args(["--", "true"])
        .output();
    assert_refused(&output.unwrap(), 2, &["UTF-8"]);
    assert!(!exists(&bench.path("locks.db")), "a refused command created a database");
}

#[test]
fn invalid_settings_are_refused() {
    let bench = Bench::new();
    for (options, words) in [
        (&["--ttl", "0s"][..], &["0ns", "use"][..]),
        (&["--ttl", "100000h"], &["use"]),
        (&["--ttl", "-5s"], &["--ttl", "negative"]),
        (&["--ttl", "soon"], &["soon", "15s"]),
        (&["--ttl", "15"], &["--ttl", "15s"]),
        (&["--wait", "-1s"], &["--wait", "negative"]),
        (&["--ttl", "5s", "--stop-grace", "5s"], &["5s", "250ms", "longer ttl or a shorter"]),
        (&["--stop-grace", "1h"], &["3600s", "15s"]),
        (&["--frob"], &["--frob"]),
    ] {
        let mut args = vec!["run", "--lock", "a"];
        args.extend(options);
        args.extend(["--", "true"]);
        assert_refused(&bench.output(&args), 2, words);
    }
    assert_refused(&bench.output(&["run", "--", "true"]), 2, &["--lock"]);
    assert_refused(&bench.output(&["frobnicate"]), 2, &["frobnicate"]);
    assert_refused(&bench.output(&[]), 2, &["subcommand"]);
    assert!(!exists(&bench.path("locks.db")), "a refused command created a database");
}

#[test]
fn unrunnable_commands_are_explained() {
    let bench = Bench::new();
    assert_refused(&bench.output(&["run", "--lock", "a"]), 2, &["CMD"]);
    assert_refused(&bench.output(&["run", "--lock", "a", "--"]), 2, &["CMD"]);

    let run = |program: &str| bench.output(&["run", "--lock", "a", "--", program]);
    assert_refused(&run("no-such-command"), 127, &["no-such-command", "command not found"]);
    assert_refused(&run("./no-such-file"), 127, &["no-such-file"]);
    assert_refused(&run(""), 127, &["command not found"]);
    fs::write(bench.path("plain"), "#!/bin/sh\n").unwrap();
    assert_refused(&run("./plain"), 126, &["plain", "permission denied"]);
    assert_refused(&run("/"), 126, &["directory"]);
    assert!(!exists(&bench.path("locks.db")), "a refused command created a database");

    // This error appears only at execution, because the file is open for writing.
    fs::copy("/bin/true", bench.path("busy")).unwrap();
    let writer = OpenOptions::new().append(true).open(bench.path("busy")).unwrap();
    assert_refused(&run("./busy"), 126, &["busy"]);
    drop(writer);
    assert!(run("./busy").status.success());
}

/// The system reports that these files do not exist, but only their interpreters are missing.
#[test]
fn missing_interpreters_are_named() {
    let bench = Bench::new();
    let script = |name: &str, text: &str| {
        fs::write(bench.path(name), text).unwrap();
        fs::set_permissions(bench.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    script("unrunnable", "#!/no/such/interpreter -x\n");
    script("windows", "#!/bin/sh\r\ntrue\r\n");
    let run = |program: &str| {
        let mut command = bench.leasehold(&["run", "--lock", "a", "--", program]);
        command.env("PATH", bench.path("")).output().unwrap()
    };
    for program in ["./unrunnable", "unrunnable"] {
        assert_refused(&run(program), 126, &["\"/no/such/interpreter\", which does not exist"]);
    }
    assert_refused(&run("./windows"), 126, &["\"/bin/sh\\r\"", "CRLF", "dos2unix"]);
    assert!(!exists(&bench.path("locks.db")), "a refused command created a database");
}
