//! A worker process as the test sees it.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::event::{Ending, Event};
use crate::worker::{JOB, Job};

/// A worker process is killed when this value is dropped.
pub(crate) struct WorkerProcess {
    child: Child,
    orders: ChildStdin,
    reader: Option<JoinHandle<Vec<Event>>>,
    /// The clients of the process have held the lock this many times.
    held: Arc<AtomicU64>,
}

impl WorkerProcess {
    pub(crate) fn start(job: &Job) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["part_of_another_test_that_runs_in_a_process", "--exact", "--nocapture"])
            .env(JOB, serde_json::to_string(job).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, lines) = (child.stdin.take().unwrap(), child.stderr.take().unwrap());
        let held = Arc::new(AtomicU64::new(0));
        let reader = thread::spawn({
            let held = Arc::clone(&held);
            move || read_events(BufReader::new(lines), &held)
        });
        Self { child, orders, reader: Some(reader), held }
    }

    /// Returns how often the clients of the process have held the lock.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Tells the clients to hold the lock once more, and then to end.
    pub(crate) fn finish(&mut self) {
        writeln!(self.orders, "finish").unwrap();
    }

    /// Returns how the process has ended, or `None` if it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends a signal, such as `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &process]).status().unwrap();
        assert!(sent.success(), "kill {signal} failed: {sent}");
    }

    /// Ends the process by `SIGKILL` if it runs, and returns all that it has reported.
    pub(crate) fn into_events(mut self) -> Vec<Event> {
        self.kill();
        self.reader.take().unwrap().join().unwrap()
    }

    fn kill(&mut self) {
        // `SIGKILL` ends a stopped process too.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read_events(lines: impl BufRead, held: &AtomicU64) -> Vec<Event> {
    let mut events = Vec::new();
    for line in lines.lines().map_while(Result::ok) {
        match serde_json::from_str::<Event>(&line) {
            Ok(event) => {
                if matches!(event, Event::Ended(Ending::Held)) {
                    held.fetch_add(1, Ordering::Relaxed);
                }
                events.push(event);
            }
            // A worker that panics prints the reason.
            Err(_) => eprintln!("{line}"),
        }
    }
    events
}
