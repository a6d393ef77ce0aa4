//! What this process uses.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Handle;

/// What is in use at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Resident memory, in KiB; 0 where it cannot be told.
    pub memory: u64,
    /// Tasks of this runtime.
    pub tasks: u64,
    /// Open files, connections left out; 0 where it cannot be told.
    pub files: u64,
    /// Open connections; 0 where it cannot be told.
    pub connections: u64,
}

/// Takes samples.
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

/// Resident memory, as Linux tells it.
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

/// The tasks that are still there a good while after everything was shut down.
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
