//! The command to run is searched for before the lock is acquired.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::interpreter;
use crate::io::exit::{Failure, NOT_EXECUTABLE, NOT_FOUND};

/// A command line is a command and its arguments, and was found to be executable.
#[derive(Clone, Debug)]
pub(super) struct CommandLine(Vec<OsString>);

impl CommandLine {
    /// Searches where the system will search, so that a typing error is reported now and not when a
    /// standby takes over. Whether the command can be run is certain only when it is run.
    pub(super) fn new(words: Vec<OsString>) -> Result<Self, Failure> {
        let Some(program) = words.first() else {
            return Err(Failure::usage("no command after --"));
        };
        match find(program) {
            Err(obstacle) => Err(obstacle.failure(program)),
            Ok(()) => Ok(Self(words)),
        }
    }

    pub(super) fn words(&self) -> &[OsString] {
        &self.0
    }
}

/// An obstacle is the reason why a program cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Obstacle {
    System(Errno),
    /// The file exists, but its interpreter does not; the text describes the interpreter.
    Interpreter(String),
}

impl Obstacle {
    /// Returns the failure, with the exit status that shells use for it.
    fn failure(self, program: &OsStr) -> Failure {
        let (status, why) = match self {
            Self::System(error) => return cannot_run(program, error),
            Self::Interpreter(why) => (NOT_EXECUTABLE, why),
        };
        Failure::new(status, format!("cannot run {program:?}: {why}"))
    }
}

/// Returns the failure of a program that cannot be run, with the exit status that shells use.
pub(super) fn cannot_run(program: &OsStr, error: Errno) -> Failure {
    let status = match error {
        Errno::NOENT | Errno::NOTDIR => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    };
    let error = match error {
        Errno::NOENT => "command not found".to_owned(),
        Errno::ACCESS => "permission denied".to_owned(),
        Errno::TOOBIG => "its arguments or environment are too long".to_owned(),
        Errno::ISDIR => "it is a directory".to_owned(),
        error => error.to_string(),
    };
    Failure::new(status, format!("cannot run {program:?}: {error}"))
}

/// Returns why the system did not run a program. The system reports a missing interpreter as if the
/// program itself did not exist.
pub(super) fn not_executed(program: &OsStr, error: Errno) -> Failure {
    if error != Errno::NOENT {
        return cannot_run(program, error);
    }
    let obstacle = find(program).err().unwrap_or_else(|| {
        Obstacle::Interpreter(
            "its program loader does not exist; it was built for another system".to_owned(),
        )
    });
    obstacle.failure(program)
}

fn find(program: &OsStr) -> Result<(), Obstacle> {
    if program.is_empty() {
        return Err(Obstacle::System(Errno::NOENT));
    }
    if program.as_bytes().contains(&b'/') {
        return check(Path::new(program));
    }
    // `execvp` uses this path if PATH is not set.
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut found = Obstacle::System(Errno::NOENT);
    for folder in std::env::split_paths(&path) {
        // An empty entry means the working folder.
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        match check(&folder.join(program)) {
            Ok(()) => return Ok(()),
            Err(Obstacle::System(Errno::NOENT | Errno::NOTDIR)) => {}
            // The system reports a missing interpreter as a missing file too, and continues the
            // search.
            Err(obstacle) => found = obstacle,
        }
    }
    Err(found)
}

fn check(path: &Path) -> Result<(), Obstacle> {
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).map_err(Obstacle::System)?;
    if path.is_dir() {
        return Err(Obstacle::System(Errno::ISDIR));
    }
    interpreter::missing(path).map_or(Ok(()), |why| Err(Obstacle::Interpreter(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_exec_finds_them() {
        let errno = |error| Err(Obstacle::System(error));
        assert_eq!(find(OsStr::new("sh")), Ok(()));
        assert_eq!(find(OsStr::new("/bin/sh")), Ok(()));
        assert_eq!(find(OsStr::new("")), errno(Errno::NOENT));
        assert_eq!(find(OsStr::new("no-such-command-here")), errno(Errno::NOENT));
        assert_eq!(find(OsStr::new("/")), errno(Errno::ISDIR));
        assert_eq!(find(OsStr::new("/bin/sh/x")), errno(Errno::NOTDIR));
    }
}
