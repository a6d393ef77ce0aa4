//! The tests use a store in its own folder, and processes that hold a lease there.

use std::fs;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use leasehold::Client;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::holder;

pub(crate) const NAME: &str = "job";

/// A lease does not expire within a test.
pub(crate) const TTL: Duration = Duration::from_secs(60 * 60);

/// No test should need this long.
const LIMIT: Duration = Duration::from_secs(120);

/// A bench has its own store.
pub(crate) struct Bench {
    _folder: TempDir,
    pub(crate) url: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("locks.db").display());
        Self { _folder: folder, url }
    }

    /// Starts a process that holds the lease in that way.
    pub(crate) fn hold(&self, way: &str) -> HoldingProcess {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([holder::ARGUMENT, way, &self.url]).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started = line.trim_end().strip_prefix("held ").expect("the process holds the lease");
        HoldingProcess { process, started: started.parse().unwrap() }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.with_client(|client| async move { client.status(NAME).await.unwrap().lease.is_some() })
    }

    /// Waits for the lock, which becomes free in time only by a release.
    pub(crate) fn acquire(&self) {
        self.with_client(|client| async move {
            let guard = client.lock(NAME).unwrap().acquire(LIMIT).await.unwrap();
            guard.release().await.unwrap();
        });
    }

    fn with_client<F: Future>(&self, act: impl FnOnce(Client) -> F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { act(leasehold::connect(&self.url).await.unwrap()).await })
    }
}

/// This process holds the lease. It is killed when the value is dropped, and so is the process that
/// it has started.
pub(crate) struct HoldingProcess {
    process: Child,
    /// The holder has started this process, or none if this is zero.
    pub(crate) started: u32,
}

impl HoldingProcess {
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.process.id(), signal);
    }

    /// Kills the process, and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.wait();
    }

    pub(crate) fn wait(&mut self) {
        self.process.wait().unwrap();
    }

    /// Returns the process of the helper, where the system lists it.
    pub(crate) fn helper(&self) -> Option<u32> {
        let id = self.process.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().find_map(|child| {
            let arguments = fs::read(format!("/proc/{child}/cmdline")).ok()?;
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            let is_helper = arguments.contains("release_helper");
            assert!(!arguments.contains("sqlite:") || !is_helper, "its arguments have the URL");
            is_helper.then(|| child.parse().unwrap())
        })
    }
}

impl Drop for HoldingProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if self.started != 0 {
            send(self.started, Signal::KILL);
        }
    }
}

pub(crate) fn send(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(process.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Returns whether the process runs or is stopped; a zombie does not count.
pub(crate) fn is_alive(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| !state.trim().starts_with(['Z', 'X']))
}

/// Waits until the helper has ended.
pub(crate) fn wait_for_end(helper: Option<u32>) {
    let begun = Instant::now();
    while helper.is_some_and(is_alive) {
        assert!(begun.elapsed() < LIMIT, "the helper has not ended");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until no child process of this thread is left, not even a zombie, where the system lists
/// them.
pub(crate) fn wait_for_children() {
    let begun = Instant::now();
    while fs::read_to_string("/proc/thread-self/children").is_ok_and(|it| !it.trim().is_empty()) {
        assert!(begun.elapsed() < LIMIT, "a child process is left");
        thread::sleep(Duration::from_millis(5));
    }
}
