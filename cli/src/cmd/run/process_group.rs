//! A process group is signalled and checked as a whole.

use std::fmt;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

#[cfg(target_os = "linux")]
use super::processes;

/// A process group is the command and the processes that it started.
///
/// The kernel may reuse its id once the group is empty and its leader was reaped, so the code that
/// started the leader does not reap it until the group has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessGroup(Pid);

impl ProcessGroup {
    /// Returns the group of that id; `None` for an id that has another meaning for the kernel.
    pub(super) fn new(id: i32) -> Option<Self> {
        if id <= 1 { None } else { Pid::from_raw(id).map(Self) }
    }

    pub(super) fn id(self) -> i32 {
        self.0.as_raw_pid()
    }

    pub(super) fn pid(self) -> Pid {
        self.0
    }

    /// Sends a signal to the whole group. A group that has ended is not an error.
    pub(super) fn signal(self, signal: Signal) {
        let _ = kill_process_group(self.0, signal);
    }

    /// Asks the whole group to end, and continues stopped processes so that they can.
    pub(super) fn terminate(self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    /// Sends SIGHUP to the whole group, and continues stopped processes so that they can end.
    pub(super) fn hang_up(self) {
        self.signal(Signal::HUP);
        self.signal(Signal::CONT);
    }

    pub(super) fn kill(self) {
        self.signal(Signal::KILL);
    }

    /// Returns whether any process of the group still runs.
    pub(super) fn is_alive(self) -> bool {
        test_kill_process_group(self.0) != Err(Errno::SRCH) && self.has_living_members(false)
    }

    /// Returns whether it is certain that no process of a killed group still runs. Unlike
    /// [`is_alive`](Self::is_alive), this does not take a process that cannot be seen for one that
    /// has ended.
    #[cfg(target_os = "linux")]
    pub(super) fn has_certainly_ended(self) -> bool {
        match test_kill_process_group(self.0) {
            Err(Errno::SRCH) => true,
            // A process that may not be signalled was not killed.
            Err(_) => false,
            // A killed process starts no others, so none can escape from the list.
            Ok(()) => processes::are_all_listed() && !self.has_living_members(true),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn has_certainly_ended(self) -> bool {
        test_kill_process_group(self.0) == Err(Errno::SRCH)
    }

    /// Returns whether a member still runs; `unreadable` says whether a process that cannot be read
    /// counts as one. A process that has ended but was not reaped is still a member, perhaps
    /// forever: a stopped supervisor reaps nothing, nor does a container's first process.
    #[cfg(target_os = "linux")]
    fn has_living_members(self, unreadable: bool) -> bool {
        // Without /proc it is unknown whether the members still run.
        let Ok(processes) = processes::folders() else { return true };
        processes.iter().any(|process| match processes::read(process, "stat") {
            Ok(stat) => is_running_in(&String::from_utf8_lossy(&stat), self.id()),
            Err(_) => unreadable,
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn has_living_members(self, _: bool) -> bool {
        true
    }
}

impl fmt::Debug for ProcessGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessGroup({})", self.id())
    }
}

/// Parses a line of `/proc/PID/stat` (proc(5)), and returns whether it is a running process of that
/// group.
#[cfg(target_os = "linux")]
fn is_running_in(stat: &str, group: i32) -> bool {
    // The command's name is in parentheses, and may contain parentheses.
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_ascii_whitespace();
    let (state, id) = (fields.next(), fields.nth(1));
    if id.and_then(|id| id.parse().ok()) != Some(group) {
        return false;
    }
    match state {
        // Its first thread has ended, but others may still run.
        Some("Z") => fields.nth(14).and_then(|threads| threads.parse().ok()).unwrap_or(1) > 1,
        Some("X") => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_zombie_with_living_threads_counts_as_alive() {
        let stat = |state, group, threads| {
            format!("7 (a) b)) {state} 1 {group} 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 {threads} 0 5")
        };
        assert!(is_running_in(&stat("S", 42, 1), 42));
        assert!(is_running_in(&stat("T", 42, 1), 42));
        assert!(!is_running_in(&stat("S", 43, 1), 42));
        assert!(!is_running_in(&stat("Z", 42, 1), 42));
        assert!(is_running_in(&stat("Z", 42, 2), 42));
        assert!(!is_running_in("", 42));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_member_whose_name_is_not_utf_8_counts_as_alive() {
        use std::os::unix::process::CommandExt;
        let script = r"printf '\377' > /proc/$$/comm && read _";
        let mut command = std::process::Command::new("sh");
        let command = command.args(["-c", script]).stdin(std::process::Stdio::piped());
        let mut process = command.process_group(0).spawn().unwrap();
        let name = format!("/proc/{}/comm", process.id());
        while !std::fs::read(&name).unwrap().starts_with(b"\xff") {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let group = ProcessGroup::new(process.id().try_into().unwrap()).unwrap();
        assert!(group.is_alive());
        assert!(!group.has_certainly_ended());
        group.kill();
        // The process is still a member of the group while it is not reaped.
        while !group.has_certainly_ended() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(!group.is_alive());
        process.wait().unwrap();
        assert!(group.has_certainly_ended());
    }

    #[test]
    fn ids_below_2_are_refused() {
        for id in [-1, 0, 1] {
            assert_eq!(ProcessGroup::new(id), None);
        }
    }
}
