//! Arguments, input and signals are forwarded to the command, and its status to the caller.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::{Bench, Running, code, stderr, stdout, wait_until};

#[test]
fn the_commands_exit_status_is_returned() {
    let bench = Bench::new();
    for (script, status) in
        [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)]
    {
        for options in [&[][..], &["--respawn"]] {
            let output = bench.run(options, script).output().unwrap();
            assert_eq!(code(output.status), status, "{script}");
            assert_eq!(stderr(&output), "");
        }
    }
}

#[test]
fn the_command_gets_lock_and_growing_token() {
    let bench = Bench::new();
    let mut last = 0_u64;
    for _ in 0..3 {
        let output = bench.run(&[], "echo $LEASEHOLD_LOCK $LEASEHOLD_TOKEN").output().unwrap();
        let text = stdout(&output);
        let token = text.strip_prefix("hello ").unwrap().trim().parse().unwrap();
        assert!(last < token);
        last = token;
    }
}

/// The command does not inherit the variables that `run` uses itself, and above all not the token.
#[test]
#[cfg(feature = "http")]
fn run_hides_its_own_variables_from_the_command() {
    let bench = Bench::new();
    let token = "t".repeat(32);
    let inherited = |args: &[&str]| {
        let mut run = bench.leasehold(args);
        run.args(["--", "env"]).env("LEASEHOLD_ADMIN_TOKEN", &token);
        run.env("LEASEHOLD_LOCK_NAME", "mine").env("LEASEHOLD_LABEL", "both");
        let text = stdout(&run.output().unwrap());
        let of_mine = |line: &&str| ["=mine", "=both", &token].iter().any(|it| line.ends_with(it));
        let names = text.lines().filter(of_mine).filter_map(|line| line.split_once('='));
        let mut names: Vec<_> = names.map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    };
    let [token, label, lock, name] =
        ["ADMIN_TOKEN", "LABEL", "LOCK", "LOCK_NAME"].map(|name| format!("LEASEHOLD_{name}"));
    // LEASEHOLD_LOCK has the lock's name.
    let all_used = inherited(&["run", "--metrics", "127.0.0.1:0"]);
    assert_eq!(all_used, [label.clone(), lock]);
    assert_eq!(inherited(&["run", "--lock", "other"]), [token, label, name]);
}

#[test]
fn arguments_are_passed_unchanged() {
    let bench = Bench::new();
    let unusual = OsStr::from_bytes(b"-\xff\n --store");
    let huge = "x".repeat(100_000);
    let mut command = bench.leasehold(&["run", "--lock", "a", "--", "printf", "%s"]);
    let output = command.arg(unusual).args([&huge; 10]).output().unwrap();
    assert_eq!(output.stdout.len(), unusual.len() + 10 * huge.len());
    assert!(output.stdout.starts_with(unusual.as_bytes()));
}

#[test]
fn only_standard_streams_are_inherited() {
    let bench = Bench::new();
    let mut run = bench.leasehold(&["run", "--lock", "a", "--", "cat"]);
    let mut run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    run.stdin.take().unwrap().write_all(b"through").unwrap();
    assert_eq!(stdout(&run.wait_with_output().unwrap()), "through");

    // The shell counts its own file descriptors, because those of a pipeline vary.
    let list = "set -- /proc/$$/fd/*; echo $#";
    let direct = Command::new("sh").args(["-c", list]).stdin(Stdio::null()).output().unwrap();
    let ours = bench.run(&[], list).output().unwrap();
    assert_eq!(stdout(&ours), stdout(&direct), "the command inherited file descriptors");
}

#[test]
fn the_command_leads_its_own_process_group() {
    let bench = Bench::new();
    let output = bench.run(&[], "echo $$ $(ps -o pgid= -p $$)").output().unwrap();
    let text = stdout(&output);
    let ids: Vec<_> = text.split_whitespace().collect();
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn signals_pass_to_the_whole_group() {
    let bench = Bench::new();
    let script = "for s in HUP QUIT USR1 USR2 WINCH; do trap \"echo $s >> got\" $s; done
                  (trap '' HUP QUIT USR2 WINCH; trap 'echo child >> got' USR1; echo up >> got; while :; do sleep 0.02; done) &
                  while :; do sleep 0.02; done";
    let mut run = Running::start(bench.run(&[], script));
    wait_until("the command", || bench.text("got").contains("up"));
    for (signal, word) in [
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR1, "child"),
        (Signal::USR2, "USR2"),
        (Signal::WINCH, "WINCH"),
    ] {
        run.signal(signal);
        wait_until(word, || bench.text("got").contains(word));
    }
    assert!(run.0.try_wait().unwrap().is_none(), "a forwarded signal ended the run");
    run.signal(Signal::TERM);
    assert_eq!(run.exit(), 143);
}

#[test]
fn the_commands_reaction_to_a_signal_is_returned() {
    let bench = Bench::new();
    let script = "trap 'exit 5' INT; echo up > got; while :; do sleep 0.02; done";
    let mut run = Running::start(bench.run(&["--respawn"], script));
    wait_until("the command", || !bench.text("got").is_empty());
    run.signal(Signal::INT);
    assert_eq!(run.exit(), 5);
    assert_eq!(run.stderr(), "");
}
