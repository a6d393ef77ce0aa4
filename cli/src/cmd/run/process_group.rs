//! A process group is signalled and checked as a whole.

use std::fmt;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

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
        test_kill_process_group(self.0) != Err(Errno::SRCH) && self.has_living_members()
    }

    /// Kills what is left of the group, and returns whether it is certain that no process of it
    /// still runs; unlike [`is_alive`](Self::is_alive), this does not take a process that cannot be
    /// seen for one that has ended.
    pub(super) fn has_certainly_ended(self) -> bool {
        // The kernel answers for the whole group at one moment. Killed processes start no others,
        // so none can escape from the list that is read afterwards.
        match kill_process_group(self.0, Signal::KILL) {
            Err(Errno::SRCH) => true,
            Err(_) => false,
            Ok(()) => lists_all_processes() && !self.has_living_members(),
        }
    }

    /// Returns whether a member still runs. A process that has ended but was not reaped is still a
    /// member, perhaps forever: a stopped supervisor reaps nothing, nor does a container's first
    /// process.
    #[cfg(target_os = "linux")]
    fn has_living_members(self) -> bool {
        // Without /proc it is unknown whether the members still run.
        let Ok(processes) = std::fs::read_dir("/proc") else { return true };
        processes.flatten().any(|process| {
            let number = process.file_name();
            number.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
                && std::fs::read(process.path().join("stat"))
                    .is_ok_and(|stat| is_running_in(&String::from_utf8_lossy(&stat), self.id()))
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

/// Returns whether `/proc` lists the processes of all users, by the ids that they have here.
#[cfg(target_os = "linux")]
fn lists_all_processes() -> bool {
    let id = rustix::process::getpid().as_raw_pid().to_string();
    let own_ids = std::fs::read_link("/proc/self").is_ok_and(|own| own.as_os_str() == id.as_str());
    own_ids && std::fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| !hides(&mounts))
}

#[cfg(not(target_os = "linux"))]
fn lists_all_processes() -> bool {
    false
}

/// Parses `/proc/self/mounts` (fstab(5)), and returns whether `/proc` hides the processes of other
/// users.
#[cfg(target_os = "linux")]
fn hides(mounts: &str) -> bool {
    let mut proc = mounts.lines().filter(|mount| mount.split(' ').nth(1) == Some("/proc"));
    proc.any(|mount| mount.contains("hidepid="))
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
        // The process is still a member of the group while it is not reaped.
        while !group.has_certainly_ended() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(!group.is_alive());
        process.wait().unwrap();
        assert!(group.has_certainly_ended());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn hidden_processes_are_noticed() {
        assert!(hides(
            "sysfs /sys sysfs rw 0 0\nproc /proc proc rw,nosuid,hidepid=invisible 0 0\n"
        ));
        assert!(!hides("proc /proc proc rw,relatime 0 0\nproc /jail/proc proc rw,hidepid=2 0 0\n"));
    }

    #[test]
    fn ids_below_2_are_refused() {
        for id in [-1, 0, 1] {
            assert_eq!(ProcessGroup::new(id), None);
        }
    }
}
