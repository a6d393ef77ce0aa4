//! This module defines the resources that this process uses.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Handle;

/// These are the resources in use at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// This is the resident memory in KiB, or 0 if it is unknown.
    pub memory: u64,
    /// This is the number of tasks of this runtime.
    pub tasks: u64,
    /// This is the number of open files without connections, or 0 if it is unknown.
    pub files: u64,
    /// This is the number of open connections, or 0 if it is unknown.
    pub connections: u64,
}

/// Takes samples of the resources in use.
#[derive(Debug, Default)]
pub(super) struct ResourceSampler {
    pub(super) samples: Vec<Sample>,
}

impl ResourceSampler {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn sample(&mut self) {
        let tasks = Handle::current().metrics().num_alive_tasks() as u64;
        let (files, connections) = descriptors();
        self.samples.push(Sample { memory: memory(), tasks, files, connections });
    }
}

/// Returns the resident memory that Linux reports.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn descriptors() -> (u64, u64) {
    let Ok(folder) = std::fs::read_dir("/proc/self/fd") else { return (0, 0) };
    let targets = folder.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let is_socket = |target: &Path| target.to_string_lossy().starts_with("socket:");
    let (mut files, mut connections) = (0, 0);
    for target in targets {
        *if is_socket(&target) { &mut connections } else { &mut files } += 1;
    }
    (files, connections)
}

/// Returns the number of tasks that still exist some time after everything was shut down.
pub(super) async fn tasks_left() -> usize {
    let mut left = usize::MAX;
    for _ in 0..100 {
        left = Handle::current().metrics().num_alive_tasks();
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    left
}
