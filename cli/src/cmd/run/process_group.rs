//! A process group, signalled and looked at as one.

use std::fmt;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// A process group.
///
/// Its id may be another's once the group is empty and its leader was waited for, so whoever
/// started the leader keeps it unwaited for until the group is done with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessGroup(Pid);

impl ProcessGroup {
    /// The group of that id; none for an id that would mean another group than the one named.
    pub(super) fn new(id: i32) -> Option<Self> {
        if id <= 1 { None } else { Pid::from_raw(id).map(Self) }
    }

    pub(super) fn id(self) -> i32 {
        self.0.as_raw_pid()
    }

    pub(super) fn pid(self) -> Pid {
        self.0
    }

    /// Sends a signal to all of it. A group that is gone is none to complain about.
    pub(super) fn signal(self, signal: Signal) {
        let _ = kill_process_group(self.0, signal);
    }

    /// Asks all of it to end, and lets what is stopped run, so that it can.
    pub(super) fn terminate(self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    /// Sends the whole group the signal that its terminal is gone, and continues stopped processes
    /// so that they can end.
    pub(super) fn hang_up(self) {
        self.signal(Signal::HUP);
        self.signal(Signal::CONT);
    }

    pub(super) fn kill(self) {
        self.signal(Signal::KILL);
    }

    /// Whether anything in it still runs.
    pub(super) fn is_alive(self) -> bool {
        test_kill_process_group(self.0) != Err(Errno::SRCH) && self.has_living_members()
    }

    /// What has ended but was not waited for is still a member, perhaps for ever: a supervisor
    /// that is stopped waits for nobody, nor does a container's first process.
    #[cfg(target_os = "linux")]
    fn has_living_members(self) -> bool {
        // Without /proc no more can be said than that there are members.
        let Ok(processes) = std::fs::read_dir("/proc") else { return true };
        processes.flatten().any(|process| {
            let number = process.file_name();
            number.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
                && std::fs::read_to_string(process.path().join("stat"))
                    .is_ok_and(|stat| lives_in(&stat, self.id()))
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn has_living_members(self) -> bool {
        true
    }
}

impl fmt::Debug for ProcessGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessGroup({})", self.id())
    }
}

/// Reads a line of `/proc/PID/stat` (proc(5)).
#[cfg(target_os = "linux")]
fn lives_in(stat: &str, group: i32) -> bool {
    // The command's name stands in parentheses, and may have some of its own.
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_ascii_whitespace();
    let (state, id) = (fields.next(), fields.nth(1));
    if id.and_then(|id| id.parse().ok()) != Some(group) {
        return false;
    }
    match state {
        // Its first thread has ended; do others go on?
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
        assert!(lives_in(&stat("S", 42, 1), 42));
        assert!(lives_in(&stat("T", 42, 1), 42));
        assert!(!lives_in(&stat("S", 43, 1), 42));
        assert!(!lives_in(&stat("Z", 42, 1), 42));
        assert!(lives_in(&stat("Z", 42, 2), 42));
        assert!(!lives_in("", 42));
    }

    #[test]
    fn ids_below_2_are_refused() {
        for id in [-1, 0, 1] {
            assert_eq!(ProcessGroup::new(id), None);
        }
    }
}
