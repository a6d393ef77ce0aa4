//! As the first process of a container, `run` becomes the parent of orphans.

use std::process::Command;

use crate::support::{Bench, stderr};

/// Returns a command that runs as the first process of a new process namespace; `None` if that is
/// not allowed.
fn as_first_process(bench: &Bench, script: &str) -> Option<Command> {
    let namespace = ["--pid", "--fork", "--mount-proc"];
    let is_allowed = Command::new("unshare").args(namespace).arg("true").output();
    if !is_allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no process namespace can be made here");
        return None;
    }
    let run = bench.run(&[], script);
    // The command must not get the terminal on which the tests run.
    let mut command = Command::new("setsid");
    command.args(["--wait", "unshare"]).args(namespace).arg(run.get_program()).args(run.get_args());
    command.current_dir(bench.path(""));
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Some(command)
}

/// The command waits until its orphans are reaped, and its own status is returned.
#[test]
fn orphans_are_reaped_while_the_command_runs() {
    let bench = Bench::new();
    std::fs::copy("/bin/sleep", bench.path("orphan")).unwrap();
    // Processes that have ended and were not reaped are still listed.
    let script = "for n in 1 2 3 4 5 6 7 8; do (./orphan 0.2 &); done
                  sleep 0.5
                  for n in $(seq 100); do
                      grep -qsx orphan /proc/[0-9]*/comm || exit 7
                      sleep 0.1
                  done
                  exit 9";
    let Some(mut command) = as_first_process(&bench, script) else { return };
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
}
