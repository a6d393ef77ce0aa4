//! This module checks whether a parent process can continue this process's group after a stop.

use super::signal_mask;

/// Returns whether this process's group is orphaned: no process in it has a parent in another group
/// of the same session. The kernel does not stop such a group at the terminal's request.
#[cfg(target_os = "linux")]
pub(super) fn is_orphaned() -> bool {
    let Some(own) = signal_mask::own_group() else { return true };
    // Without /proc this is unknown; a shell, if there is one, continues the group.
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    let processes: Vec<_> = processes
        .flatten()
        .filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|id| std::fs::read_to_string(format!("/proc/{id}/stat")).ok())
        .filter_map(|stat| Process::parse(&stat))
        .collect();
    !has_parent_outside(&processes, own.as_raw_pid())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_orphaned() -> bool {
    signal_mask::own_session() == Some(rustix::process::getpid())
}

#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
struct Process {
    id: i32,
    parent: i32,
    group: i32,
    session: i32,
}

#[cfg(target_os = "linux")]
impl Process {
    /// Parses a line of `/proc/PID/stat` (proc(5)).
    fn parse(stat: &str) -> Option<Self> {
        // The command's name is in parentheses, and may contain parentheses.
        let (start, rest) = stat.rsplit_once(')')?;
        let id = start.split_once(' ')?.0.parse().ok()?;
        let mut fields = rest.split_ascii_whitespace().skip(1);
        let mut next = || fields.next()?.parse().ok();
        Some(Self { id, parent: next()?, group: next()?, session: next()? })
    }
}

#[cfg(target_os = "linux")]
fn has_parent_outside(processes: &[Process], group: i32) -> bool {
    processes.iter().filter(|process| process.group == group).any(|process| {
        processes.iter().any(|parent| {
            parent.id == process.parent
                && parent.group != group
                && parent.session == process.session
        })
    })
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    fn process(id: i32, parent: i32, group: i32, session: i32) -> Process {
        let stat = format!("{id} (a) b) S {parent} {group} {session} 0 -1 4194304");
        Process::parse(&stat).unwrap()
    }

    #[test]
    fn a_group_is_orphaned_without_a_parent_in_its_session() {
        let shell = process(10, 1, 10, 10);
        let script = process(20, 10, 20, 10);
        let run = process(21, 20, 20, 10);
        assert!(has_parent_outside(&[shell, script, run], 20));
        // The script's parent has ended, or is in another session.
        assert!(!has_parent_outside(&[shell, run], 20));
        assert!(!has_parent_outside(&[process(10, 1, 10, 9), script, run], 20));
        // This is the leader of a session, such as the first process of a container.
        assert!(!has_parent_outside(&[process(1, 0, 1, 1)], 1));
        assert!(Process::parse("").is_none());
    }
}
