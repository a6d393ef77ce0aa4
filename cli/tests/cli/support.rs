//! The tests use a store in its own folder, supervisors on it, and a log of which commands ran
//! when.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const ORIGINAL_VARIABLES: [&str; 7] = [
    "INIT_DELAY",
    "MASTER_JOB_EXEC_INIT_DELAY",
    "CHECK_MASTER_INTERVAL",
    "MASTER_JOB_HEARTBEAT_INTERVAL",
    "MASTER_JOB_MAX_HEARTBEAT_RETRY_COUNT",
    "MASTER_JOB_TOLERANCE",
    "PORT",
];

/// Returns the program under test, without settings from the environment.
pub(crate) fn leasehold() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
    // Settings also come from the original's variables and from the user's own file.
    let ours =
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LEASEHOLD"));
    for name in ours.map(|(name, _)| name).chain(ORIGINAL_VARIABLES.map(Into::into)) {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent").stdin(Stdio::null());
    command
}

pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| panic!("leasehold itself was ended: {status}"))
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A test bench has its own store and folder.
pub(crate) struct Bench {
    folder: TempDir,
    store: String,
    namespace: Option<String>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("sqlite:{}", folder.path().join("locks.db").display());
        Self { folder, store, namespace: None }
    }

    #[allow(dead_code, reason = "for the tests on servers")]
    /// Creates a bench on that store, in a namespace that nothing else uses.
    pub(crate) fn on(store: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let id = uuid::Uuid::new_v4().simple().to_string();
        Self { folder, store: store.to_owned(), namespace: Some(format!("t{}", &id[..20])) }
    }

    #[allow(dead_code, reason = "for the tests on servers")]
    pub(crate) fn store(&self) -> &str {
        &self.store
    }

    #[allow(dead_code, reason = "for the tests on servers")]
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("leasehold")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Returns a command on this store.
    pub(crate) fn leasehold(&self, args: &[&str]) -> Command {
        let mut command = leasehold();
        command.args(["--store", &self.store]);
        command.args(self.namespace.iter().flat_map(|namespace| ["--namespace", namespace]));
        command.args(args).current_dir(self.folder.path());
        command
    }

    pub(crate) fn output(&self, args: &[&str]) -> Output {
        self.leasehold(args).output().unwrap()
    }

    /// Runs a command that must succeed.
    pub(crate) fn succeed(&self, args: &[&str]) -> Output {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {}{}", output.status, stderr(&output));
        output
    }

    /// Returns a `run` of a shell script in this folder.
    pub(crate) fn run(&self, options: &[&str], script: &str) -> Command {
        let mut command = self.leasehold(&["run", "--lock", "hello"]);
        command.args(options).args(["--", "sh", "-c", script]);
        command
    }

    /// Starts a supervisor whose command prints until it is ended, after checking whether a command
    /// of an earlier term is still alive.
    pub(crate) fn printer(&self, options: &[&str]) -> Running {
        self.printer_with(":", options)
    }

    /// Starts a printer that first runs those shell commands.
    pub(crate) fn printer_with(&self, first: &str, options: &[&str]) -> Running {
        let script = format!(
            "{first}
             for old in $(cat pids 2>/dev/null); do
                 if grep -qs '^State:.[^ZX]' /proc/$old/status; then echo $old $$ >> overlaps; fi
             done
             echo $$ >> pids
             while :; do echo $LEASEHOLD_TOKEN $$ $PPID >> prints; sleep 0.03; done"
        );
        Running::start(self.run(options, &script))
    }

    pub(crate) fn prints(&self) -> Vec<Print> {
        self.text("prints").lines().filter_map(Print::parse).collect()
    }

    /// Waits for a line of a later term, and checks the rules: the token has grown, and no process
    /// of an earlier command still runs.
    pub(crate) fn next_leader(&self, after: u64) -> Print {
        let print = wait_for("another leader", || {
            self.prints().last().copied().filter(|print| print.token != after)
        });
        assert!(print.token > after, "the token has not grown");
        self.assert_no_overlap();
        print
    }

    pub(crate) fn assert_no_overlap(&self) {
        assert_eq!(self.text("overlaps"), "", "commands (old, new) ran at once");
        let tokens: Vec<_> = self.prints().iter().map(|print| print.token).collect();
        assert!(tokens.is_sorted(), "an old leader printed after a new one: {tokens:?}");
    }
}

/// A print is one line of a printer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Print {
    pub(crate) token: u64,
    pub(crate) command: u32,
    pub(crate) supervisor: u32,
}

impl Print {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let (token, command) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { token, command, supervisor: fields.next()?.parse().ok()? })
    }
}

/// A running supervisor is killed when this value is dropped, and its command soon after by its
/// watchdog.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        Self(command.stderr(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.id(), signal);
    }

    /// Waits for the supervisor's exit status.
    pub(crate) fn exit(&mut self) -> i32 {
        code(wait_for("the supervisor's exit", || self.0.try_wait().unwrap()))
    }

    /// Returns the standard error of a supervisor that has exited.
    pub(crate) fn stderr(&mut self) -> String {
        std::io::read_to_string(self.0.stderr.take().unwrap()).unwrap()
    }

    pub(crate) fn watchdog(&self) -> u32 {
        let children = format!("/proc/{0}/task/{0}/children", self.id());
        wait_for("a watchdog", || {
            let children = fs::read_to_string(&children).ok()?;
            children.split_whitespace().find_map(|child| {
                let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
                (name.trim() == "lease-watchdog" && is_alive(child.parse().ok()?))
                    .then(|| child.parse().unwrap())
            })
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Returns whether the process runs or is stopped; a zombie does not count.
pub(crate) fn is_alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| {
        line.strip_prefix("State:").is_some_and(|state| !state.trim().starts_with(['Z', 'X']))
    })
}

/// Waits until the value exists, with a longer limit than any test should need.
pub(crate) fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

pub(crate) fn wait_until(what: &str, mut check: impl FnMut() -> bool) {
    wait_for(what, || check().then_some(()));
}

/// Prints how long something took, and how long it usually takes on an idle machine. A busy machine
/// takes longer, so a test that something happens at once makes sure that nothing else can cause it
/// within the time limit of [`wait_for`].
pub(crate) fn measured(what: &str, since: Instant, usual: Duration) {
    eprintln!("{what}: {:.3?} (usually within {usual:?})", since.elapsed());
}

/// Repeats the test with longer and longer leases, in seconds, until it succeeds, since a busy
/// machine may be too slow for short ones.
pub(crate) fn with_longer_leases(test: impl FnMut(u64) -> bool) -> bool {
    [1, 2, 4, 8, 16].into_iter().any(test)
}

/// Asserts that a command failed with that status and one line that contains those words.
pub(crate) fn assert_refused(output: &Output, status: i32, words: &[impl AsRef<OsStr>]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(status), "{message}");
    assert_eq!(message.lines().count(), 1, "not one line: {message}");
    assert!(message.starts_with("leasehold: "), "{message}");
    for word in words {
        let word = word.as_ref().to_str().unwrap();
        assert!(message.contains(word), "{word:?} is not in {message}");
    }
    assert_eq!(stdout(output), "");
}

pub(crate) fn exists(path: &Path) -> bool {
    path.try_exists().unwrap()
}
