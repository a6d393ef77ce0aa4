//! The watchdog does not keep standard error open, and opens it again for a last message.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open};
use rustix::stdio::dup2_stderr;

/// A detached standard error can be opened again if it is a terminal or a file. A pipe cannot: its
/// reader would have to wait for this process to end.
#[derive(Debug)]
pub(super) struct DetachedStderr(Option<Destination>);

/// A destination is a file or a terminal, with its device and inode.
#[derive(Debug)]
struct Destination {
    path: PathBuf,
    id: (u64, u64),
}

impl DetachedStderr {
    /// Replaces standard error of this process by one that ignores what is written.
    pub(super) fn detach() -> io::Result<Self> {
        let destination = Destination::of(io::stderr());
        dup2_stderr(File::options().write(true).open("/dev/null")?)?;
        Ok(Self(destination))
    }

    /// Opens standard error again, if that is possible.
    pub(super) fn attach(&self) {
        let Some(Destination { path, id }) = &self.0 else { return };
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOCTTY | OFlags::NONBLOCK;
        let Ok(file) = open(path.as_path(), flags | OFlags::CLOEXEC, Mode::empty()) else { return };
        // Another file may be at that path now.
        if fstat(&file).is_ok_and(|stat| identity(&stat) == *id) {
            let _ = dup2_stderr(&file);
        }
    }
}

impl Destination {
    fn of(file: impl AsFd) -> Option<Self> {
        let stat = fstat(file).ok()?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::CharacterDevice) {
            return None;
        }
        // Other systems have no such link.
        let path = std::fs::read_link("/proc/self/fd/2").ok()?;
        Some(Self { path, id: identity(&stat) })
    }
}

#[allow(clippy::unnecessary_cast, reason = "types differ by system")]
fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}
