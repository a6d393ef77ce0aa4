//! The test starts its writers as processes of its own program, and counts what they report.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use leasehold_fence::Namespace;

use crate::writer::{COMMITTED, FAILED, NAMESPACE, REFUSED, SERVER, URL};

/// These are the sums of what the writers have reported.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    /// This is the number of transactions of each term that have committed.
    pub(crate) committed: BTreeMap<u64, u64>,
    pub(crate) refused: u64,
    /// This is the number of transactions that failed for another reason, such as a conflict.
    pub(crate) failed: u64,
    /// The last of those transactions failed for this reason.
    pub(crate) last_failure: String,
}

/// Writers use this server.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) server: &'static str,
    /// The test has started the server, so that no other program uses it.
    pub(crate) own: bool,
    pub(crate) url: String,
    pub(crate) namespace: Namespace,
}

/// A writer process is killed when this value is dropped.
pub(crate) struct WriterProcess {
    child: Child,
    terms: ChildStdin,
}

impl WriterProcess {
    pub(crate) fn start(endpoint: &Endpoint, reports: &Arc<Mutex<Reports>>) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["part_of_another_test_that_runs_in_a_process", "--exact", "--nocapture"])
            .env(SERVER, endpoint.server)
            .env(URL, &endpoint.url)
            .env(NAMESPACE, endpoint.namespace.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (terms, lines) = (child.stdin.take().unwrap(), child.stderr.take().unwrap());
        let reports = Arc::clone(reports);
        thread::spawn(move || {
            // A process that is killed may leave half a line.
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                reports.lock().unwrap().add(&line);
            }
        });
        Self { child, terms }
    }

    /// Sends the writer its term, which it reads as soon as it is not paused.
    pub(crate) fn set_term(&mut self, term: u64) {
        writeln!(self.terms, "{term}").unwrap();
    }

    /// Sends a signal, such as `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &process]).status().unwrap();
        assert!(sent.success(), "kill {signal} failed: {sent}");
    }
}

impl Drop for WriterProcess {
    fn drop(&mut self) {
        // `SIGKILL` ends a stopped process too.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Reports {
    fn add(&mut self, line: &str) {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (kind, rest.parse::<u64>()) {
            (COMMITTED, Ok(term)) => *self.committed.entry(term).or_default() += 1,
            (REFUSED, Ok(_)) => self.refused += 1,
            (FAILED, _) => {
                self.failed += 1;
                rest.clone_into(&mut self.last_failure);
            }
            // A writer that panics prints the reason.
            _ => eprintln!("{line}"),
        }
    }

    pub(crate) fn committed_in(&self, term: u64) -> u64 {
        self.committed.get(&term).copied().unwrap_or_default()
    }
}
