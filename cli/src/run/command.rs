//! The command to run: looked for before the lock is.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use crate::exit::{Failure, NOT_EXECUTABLE, NOT_FOUND};

/// A command and its arguments, at first sight one that can be run.
#[derive(Clone, Debug)]
pub(super) struct CommandLine(Vec<OsString>);

impl CommandLine {
    /// Looks where the system will look, so that a typing error shows now and not when a standby
    /// is to take over. Whether it can be run is only known when it is.
    pub(super) fn new(words: Vec<OsString>) -> Result<Self, Failure> {
        let Some(program) = words.first() else {
            return Err(Failure::usage("no command is given after --"));
        };
        match find(program) {
            Err(error) => Err(cannot_run(program, error)),
            Ok(()) => Ok(Self(words)),
        }
    }

    pub(super) fn words(&self) -> &[OsString] {
        &self.0
    }
}

/// Why a program cannot be run, with the status that shells give it.
pub(super) fn cannot_run(program: &OsStr, error: Errno) -> Failure {
    let status = match error {
        Errno::NOENT | Errno::NOTDIR => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    };
    let error = match error {
        Errno::NOENT => "there is no such command".to_owned(),
        Errno::ACCESS => "permission denied".to_owned(),
        Errno::TOOBIG => "its arguments and environment are too long".to_owned(),
        Errno::ISDIR => "it is a directory".to_owned(),
        error => error.to_string(),
    };
    Failure::new(status, format!("cannot run {program:?}: {error}"))
}

fn find(program: &OsStr) -> Result<(), Errno> {
    if program.is_empty() {
        return Err(Errno::NOENT);
    }
    if program.as_bytes().contains(&b'/') {
        return check(Path::new(program));
    }
    // What `execvp` takes when there is none.
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut found = Errno::NOENT;
    for folder in std::env::split_paths(&path) {
        // An empty entry is the working folder.
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        match check(&folder.join(program)) {
            Ok(()) => return Ok(()),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => found = error,
        }
    }
    Err(found)
}

fn check(path: &Path) -> Result<(), Errno> {
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?;
    if path.is_dir() { Err(Errno::ISDIR) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_exec_finds_them() {
        assert_eq!(find(OsStr::new("sh")), Ok(()));
        assert_eq!(find(OsStr::new("/bin/sh")), Ok(()));
        assert_eq!(find(OsStr::new("")), Err(Errno::NOENT));
        assert_eq!(find(OsStr::new("no-such-command-here")), Err(Errno::NOENT));
        assert_eq!(find(OsStr::new("/")), Err(Errno::ISDIR));
        assert_eq!(find(OsStr::new("/bin/sh/x")), Err(Errno::NOTDIR));
    }
}
