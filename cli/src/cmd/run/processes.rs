//! `/proc` lists the processes of this machine or container.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::io::Errno;
use rustix::process::getpid;

/// Returns the folder of each process. This fails if `/proc` is not mounted.
pub(super) fn folders() -> io::Result<Vec<PathBuf>> {
    // If it is not mounted, it is an empty folder.
    fs::read_link("/proc/self")?;
    let mut folders = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit) {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// Reads a file in the folder of a process. If the process has ended, the result is empty.
pub(super) fn read(folder: &Path, file: &str) -> rustix::io::Result<Vec<u8>> {
    fs::read(folder.join(file)).or_else(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::SRCH) => Ok(Vec::new()),
        error => Err(error.unwrap_or(Errno::IO)),
    })
}

/// Returns whether the processes of all users are listed, by the ids that they have here.
pub(super) fn are_all_listed() -> bool {
    let id = getpid().as_raw_pid().to_string();
    let own_ids = fs::read_link("/proc/self").is_ok_and(|own| own.as_os_str() == id.as_str());
    // The paths of other mounts need not be UTF-8.
    own_ids && fs::read("/proc/self/mounts").is_ok_and(|mounts| shows_all(&mounts))
}

/// Parses `/proc/self/mounts` (fstab(5)), and returns whether `/proc` shows the processes of all
/// users.
fn shows_all(mounts: &[u8]) -> bool {
    let mounts = String::from_utf8_lossy(mounts);
    let mut proc =
        mounts.lines().filter(|mount| mount.split(' ').nth(1) == Some("/proc")).peekable();
    proc.peek().is_some() && !proc.any(|mount| mount.contains("hidepid="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_processes_are_noticed() {
        let hidden = "sysfs /sys sysfs rw 0 0\nproc /proc proc rw,nosuid,hidepid=invisible 0 0\n";
        assert!(!shows_all(hidden.as_bytes()));
        assert!(!shows_all(b"sysfs /sys sysfs rw 0 0\n"));
        assert!(shows_all(
            b"proc /proc proc rw 0 0\nproc /j/proc proc hidepid=2 0 0\n/dev/b /\xff vfat rw 0 0\n"
        ));
    }

    #[test]
    fn this_process_is_listed_and_a_process_that_has_ended_reads_as_empty() {
        let own = PathBuf::from(format!("/proc/{}", std::process::id()));
        assert!(folders().unwrap().contains(&own));
        assert!(!read(&own, "stat").unwrap().is_empty());
        let mut process = std::process::Command::new("true").spawn().unwrap();
        let ended = PathBuf::from(format!("/proc/{}", process.id()));
        process.wait().unwrap();
        assert_eq!(read(&ended, "stat"), Ok(Vec::new()));
    }
}
