//! What this process uses, as Linux tells.

use std::fs;

/// Returns the resident memory in KiB.
pub(super) fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Returns the number of open connections.
pub(super) fn connections() -> usize {
    let Ok(folder) = fs::read_dir("/proc/self/fd") else { return 0 };
    let targets = folder.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}
