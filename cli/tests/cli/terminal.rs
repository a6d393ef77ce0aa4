//! Commands that use the terminal get it as under a shell, and give it up when they end.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Bench, is_alive, leasehold, stdout, wait_for, wait_until};

/// A session has its own terminal.
struct Session {
    process: Child,
    controller: Option<File>,
    reader: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    shown: Arc<Mutex<String>>,
    read_until: usize,
}

impl Session {
    /// Starts a program as the leader of a session whose terminal is its standard input,
    /// output and error. The environment is that of [`leasehold`].
    fn start(bench: &Bench, program: &[&str]) -> Self {
        // A terminal is hung up when no process has its other side open, so that side is not
        // inherited.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = openpt(flags).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let open = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let ours = leasehold();
        // If the tests run in the background of a script, SIGINT is ignored.
        let mut command = Command::new("env");
        command.args(["--default-signal", "setsid", "--ctty", "--wait"]);
        command.args(program).current_dir(bench.path(""));
        for (name, value) in ours.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let path = std::env::var_os("PATH").unwrap();
        let binary = std::path::Path::new(env!("CARGO_BIN_EXE_leasehold")).parent().unwrap();
        let path = std::iter::once(binary.to_owned()).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path).unwrap()).env("PS1", "> ");
        command.env("LEASEHOLD_STORE", format!("sqlite:{}", bench.path("locks.db").display()));
        // If the process already leads a session, `setsid` forks.
        command.stdin(open()).stdout(open()).stderr(open());
        let process = command.spawn().unwrap();
        drop(command);
        let controller = File::from(controller);
        let mut session = Self {
            process,
            controller: Some(controller),
            reader: None,
            stop: Arc::default(),
            shown: Arc::default(),
            read_until: 0,
        };
        session.read();
        session
    }

    /// Collects the terminal's output in a thread.
    fn read(&mut self) {
        let mut source = self.controller.as_ref().unwrap().try_clone().unwrap();
        let (shown, stop) = (self.shown.clone(), self.stop.clone());
        self.reader = Some(std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            let pause = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            while !stop.load(Ordering::Relaxed) {
                let mut sources = [PollFd::new(&source, PollFlags::IN)];
                if poll(&mut sources, Some(&pause)) == Ok(0) {
                    continue;
                }
                let Ok(count @ 1..) = source.read(&mut chunk) else { break };
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..count]));
            }
        }));
    }

    /// Reads all output of the terminal after its last process has ended.
    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }

    /// Hangs up the terminal, as when a window is closed or a connection is lost.
    fn hang_up(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        drop(self.controller.take());
    }

    /// Starts an interactive shell; returns `None` if there is no bash.
    fn shell(bench: &Bench) -> Option<Self> {
        let has_bash = fs::exists("/bin/bash").unwrap();
        let mut session =
            has_bash.then(|| Self::start(bench, &["/bin/bash", "--norc", "--noprofile", "-i"]))?;
        session.until("> ");
        Some(session)
    }

    fn write(&mut self, text: &str) {
        self.controller.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the terminal shows the text, after the text of the previous wait.
    fn until(&mut self, what: &str) {
        let (shown, from) = (self.shown.clone(), self.read_until);
        let find = || {
            let shown = shown.lock().unwrap();
            shown[from..].find(what).map(|at| from + at + what.len())
        };
        let started = std::time::Instant::now();
        self.read_until = wait_for(what, || {
            if started.elapsed() > std::time::Duration::from_secs(110) {
                panic!("{what:?} is not shown: {:?}", shown.lock().unwrap());
            }
            find()
        });
    }

    fn exit(&mut self) -> i32 {
        wait_for("the session's end", || self.process.try_wait().unwrap()).code().unwrap()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hang_up();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Creates a bench with a script `job`.
fn bench(job: &str) -> Bench {
    let bench = Bench::new();
    script(&bench, "job", job);
    bench
}

fn script(bench: &Bench, name: &str, text: &str) {
    fs::write(bench.path(name), format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(bench.path(name), fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_free(bench: &Bench) -> bool {
    stdout(&bench.output(&["status", "a"])).contains("free")
}

const READS_TERMINAL: &str = "echo $$ > pid; echo ready; read line < /dev/tty; echo got $line";

fn job_id(bench: &Bench) -> u32 {
    wait_for("the command", || bench.text("pid").trim().parse().ok())
}

#[test]
fn a_command_reads_from_the_terminal() {
    let bench = bench("echo ready; read line; echo got $line");
    let mut session = Session::start(&bench, &["leasehold", "run", "--lock", "a", "--", "./job"]);
    session.until("ready");
    session.write("hello\n");
    session.until("got hello");
    assert_eq!(session.exit(), 0);
}

/// If its standard input is something else, a command gets the terminal when it first uses it.
#[test]
fn a_command_opening_dev_tty_gets_the_foreground() {
    let bench = bench(READS_TERMINAL);
    let run = "exec leasehold run --lock a -- ./job < /dev/null";
    let mut session = Session::start(&bench, &["sh", "-c", run]);
    session.until("ready");
    session.write("hello\n");
    session.until("got hello");
    assert_eq!(session.exit(), 0);
}

/// Under `stty tostop` a process in the background is stopped when it writes to the terminal.
#[test]
fn tostop_stops_neither_process() {
    let bench = bench("echo written; sleep 2; echo more");
    // This process writes to the terminal too, while the command is in the foreground.
    let run = "stty tostop; exec leasehold run --lock a --ttl 60s --heartbeat-interval 500ms \
         --log trace -- ./job < /dev/null";
    let mut session = Session::start(&bench, &["sh", "-c", run]);
    session.until("written");
    session.until("more");
    assert_eq!(session.exit(), 0);
}

#[test]
fn ctrl_c_goes_to_the_command() {
    let bench =
        bench("trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.05; done");
    let mut session = Session::start(&bench, &["leasehold", "run", "--lock", "a", "--", "./job"]);
    session.until("ready");
    session.write("\u{3}");
    session.until("interrupted");
    assert_eq!(session.exit(), 5);
}

/// The shell sees that the keyboard ended the run, as it would for the command itself.
#[test]
fn ctrl_c_ends_the_surrounding_script() {
    let bench = bench("echo $$ > pid; echo ready; exec sleep 1000");
    for shell in ["/bin/bash", "/bin/sh"] {
        if !fs::exists(shell).unwrap() {
            continue;
        }
        let script = "for n in 1 2 3; do leasehold run --lock a -- ./job; echo after $?; done";
        let mut session = Session::start(&bench, &[shell, "-c", script]);
        session.until("ready");
        session.write("\u{3}");
        let ended = wait_for("the script's end", || session.process.try_wait().unwrap());
        assert_eq!(ended.signal(), Some(Signal::INT.as_raw()), "{shell}: {ended}");
        session.finish();
        let shown = session.shown.lock().unwrap().clone();
        assert!(!shown.contains("after"), "{shell}: {shown:?}");
        wait_until("the lock to be free", || is_free(&bench));
    }
    let Some(mut shell) = Session::shell(&bench) else { return };
    shell.write("leasehold run --lock a -- ./job\n");
    shell.until("ready");
    shell.write("\u{3}");
    shell.until("> ");
    shell.write("echo status $?\n");
    shell.until("status 130");
}

/// The pager uses the terminal, and the command does not.
#[test]
fn a_pager_in_the_pipeline_reads_the_keyboard() {
    let bench = bench("echo data; while ! test -e end; do sleep 0.05; done");
    script(
        &bench,
        "pager",
        "read data; echo asks; read line < /dev/tty; echo paged $line; exec cat > /dev/null",
    );
    let Some(mut shell) = Session::shell(&bench) else { return };
    shell.write("leasehold run --lock a --ttl 1h -- ./job | ./pager\n");
    shell.until("asks");
    wait_until("the lock to be held", || !is_free(&bench));
    shell.write("hello\n");
    shell.until("paged hello");
    fs::write(bench.path("end"), "").unwrap();
    shell.until("> ");
    shell.write("echo status $?\n");
    shell.until("status 0");
}

/// While the command has the terminal, only a pager that reads from it is stopped.
#[test]
fn a_pager_waits_while_the_command_of_the_pipeline_has_the_terminal() {
    let bench = bench(
        "exec 2> /dev/tty; echo ready >&2; read line < /dev/tty; echo got $line >&2; touch has;
         read line < /dev/tty; echo got $line >&2",
    );
    script(
        &bench,
        "pager",
        "echo $$ > pager.pid; while ! test -e has; do sleep 0.05; done
         read line < /dev/tty; echo paged $line; exec cat > /dev/null",
    );
    let Some(mut shell) = Session::shell(&bench) else { return };
    shell.write("leasehold run --lock a --ttl 1h -- ./job | ./pager\n");
    shell.until("ready");
    shell.write("one\n");
    shell.until("got one");
    let pager = wait_for("the pager", || bench.text("pager.pid").trim().parse().ok());
    wait_until("the pager to stop", || is_stopped(pager));
    assert!(!is_free(&bench));
    shell.write("two\n");
    shell.until("got two");
    wait_until("the pager to continue", || !is_stopped(pager));
    shell.write("three\n");
    shell.until("paged three");
    shell.until("> ");
}

/// The terminal's foreground group is outside of such a namespace, so the terminal cannot be
/// returned to it.
#[test]
fn in_a_process_namespace_with_an_outer_terminal_the_command_runs() {
    let bench = bench("echo ran; exit 9");
    let namespace = ["unshare", "--pid", "--fork", "--mount-proc"];
    let is_allowed = Command::new("unshare").args(&namespace[1..]).arg("true").output();
    if !is_allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no process namespace can be made here");
        return;
    }
    let run = ["leasehold", "run", "--lock", "a", "--", "./job"];
    let mut session = Session::start(&bench, &[&namespace[..], &run].concat());
    session.until("ran");
    assert_eq!(session.exit(), 9);
}

#[test]
fn a_suspended_command_continues_in_the_foreground() {
    let bench = bench(READS_TERMINAL);
    let Some(mut shell) = Session::shell(&bench) else { return };
    shell.write("leasehold run --lock a --ttl 60s -- ./job\n");
    shell.until("ready");
    for _ in 0..2 {
        shell.write("\u{1a}");
        shell.until("suspended; the lock is not renewed");
        shell.until("Stopped");
        shell.until("> ");
        shell.write("fg\n");
        shell.until("leasehold run");
        wait_until("the command to continue", || !is_stopped(job_id(&bench)));
    }
    shell.write("hello\n");
    shell.until("got hello");
    shell.until("> ");
    // The shell has its terminal again.
    shell.write("echo status $?\n");
    shell.until("status 0");
}

/// In a container, for example, nothing could continue a suspended process.
#[test]
fn without_a_shell_a_suspended_command_continues_at_once() {
    let bench = bench(READS_TERMINAL);
    let run = ["leasehold", "run", "--lock", "a", "--ttl", "1h", "--", "./job"];
    let mut session = Session::start(&bench, &run);
    session.until("ready");
    session.write("\u{1a}");
    session.until("^Z");
    session.write("hello\n");
    session.until("got hello");
    assert_eq!(session.exit(), 0);
}

#[test]
fn a_command_that_stays_suspended_ends_with_its_lease() {
    let bench = bench(READS_TERMINAL);
    let Some(mut shell) = Session::shell(&bench) else { return };
    shell.write("leasehold run --lock a --ttl 8s -- ./job\n");
    shell.until("ready");
    shell.write("\u{1a}");
    shell.until("Stopped");
    let job = job_id(&bench);
    wait_until("the command's end", || !is_alive(job));
    shell.write("fg\n");
    shell.until("lost lock \"a\"");
    shell.write("echo status $?\n");
    shell.until("status 76");
}

#[test]
fn a_background_command_waits_for_the_terminal_and_a_message_says_so() {
    let bench = bench(READS_TERMINAL);
    let Some(mut shell) = Session::shell(&bench) else { return };
    shell.write("leasehold run --lock a --ttl 8s -- ./job &\n");
    shell.until("it needs the terminal");
    // The lock is renewed: this is longer than a lease.
    std::thread::sleep(std::time::Duration::from_secs(9));
    assert!(is_stopped(job_id(&bench)));
    shell.write("fg\n");
    wait_until("the command to continue", || !is_stopped(job_id(&bench)));
    shell.write("hello\n");
    shell.until("got hello");
}

#[test]
fn a_closed_terminal_ends_the_command() {
    for suspended in [false, true] {
        let bench = bench(READS_TERMINAL);
        let Some(mut shell) = Session::shell(&bench) else { return };
        if suspended {
            shell.write("leasehold run --lock a --ttl 1h -- ./job\n");
            shell.until("ready");
            shell.write("\u{1a}");
            shell.until("Stopped");
        } else {
            shell.write("leasehold run --lock a --ttl 1h -- ./job &\n");
            shell.until("it needs the terminal");
        }
        let job = job_id(&bench);
        shell.hang_up();
        wait_until("the command's end", || !is_alive(job));
        wait_until("the lock to be free", || is_free(&bench));
    }
}

fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}
