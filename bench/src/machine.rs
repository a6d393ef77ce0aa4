//! Describes the machine on which a run was made.

use std::fs;

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory: String,
    pub(crate) system: String,
}

impl Machine {
    /// Reads what Linux tells. What it does not tell is unknown.
    pub(crate) fn here() -> Self {
        let unknown = || "unknown".to_owned();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores,
            memory: field("/proc/meminfo", "MemTotal").unwrap_or_else(unknown),
            system: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), |release| format!("Linux {}", release.trim())),
        }
    }
}

/// Returns the value of a line such as `MemTotal: 16 kB`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
