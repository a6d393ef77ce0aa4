//! The reaper reaps orphans: processes whose parents have ended, so the kernel made them children
//! of this process. This concerns the first process of a container.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Pid, WaitId, WaitIdOptions, getpid, waitid};
use tokio::signal::unix::{self, SignalKind};

/// This process started these processes, and reaps them elsewhere.
static OWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// After this pause all orphans are reaped together that appeared when their parent ended.
const PAUSE: Duration = Duration::from_millis(50);

fn own() -> MutexGuard<'static, BTreeSet<u32>> {
    OWN.lock()
}

/// Records a process that was started. Call this before the next `await`.
pub(super) fn started(id: u32) {
    own().insert(id);
}

/// Records that a process was reaped.
pub(super) fn waited_for(id: u32) {
    own().remove(&id);
}

/// Reaps every child process that has ended, including those that aborted terms started.
pub(super) fn reap_all() {
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    while let Ok(Some(_)) = waitid(WaitId::All, ended) {}
    own().clear();
}

/// Reaps orphans for as long as the runtime runs, if this process can become their parent.
pub(super) fn reap_in_background() -> std::io::Result<()> {
    if !adopts_orphans() {
        return Ok(());
    }
    let mut ended = unix::signal(SignalKind::child())?;
    tokio::spawn(async move {
        while ended.recv().await.is_some() {
            tokio::time::sleep(PAUSE).await;
            reap();
        }
    });
    Ok(())
}

fn adopts_orphans() -> bool {
    #[cfg(target_os = "linux")]
    let is_subreaper = matches!(rustix::process::child_subreaper(), Ok(Some(_)));
    #[cfg(not(target_os = "linux"))]
    let is_subreaper = false;
    getpid().as_raw_pid() == 1 || is_subreaper
}

/// Reaps processes that have ended and were not started here.
///
/// It finds their ids in `/proc`, because waiting for any process would also reap the command.
fn reap() {
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    let this = getpid().as_raw_pid();
    let ids = processes.flatten().filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
    for id in ids {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| has_ended(&stat, this) && !own().contains(&id)) {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }
}

/// Returns whether a line of `/proc/PID/stat` (proc(5)) describes a child of that process that has
/// ended.
fn has_ended(stat: &str, parent: i32) -> bool {
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_ascii_whitespace();
    let (state, id) = (fields.next(), fields.next());
    state == Some("Z") && id.and_then(|id| id.parse().ok()) == Some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_children_that_have_ended_are_reaped() {
        assert!(has_ended("7 (a) b)) Z 1 7 7 0 -1", 1));
        assert!(!has_ended("7 (a) S 1 7 7 0 -1", 1));
        assert!(!has_ended("7 (a) Z 8 7 7 0 -1", 1));
        assert!(!has_ended("", 1));
    }
}
