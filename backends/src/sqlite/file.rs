//! Noticing that the database file is no longer the one at its path.
//!
//! A process that has an SQLite file open goes on with it after it was deleted or replaced, while
//! others open the file that is at the path now: two holders, and neither is told. So the file's
//! identity is compared before each operation, and so is that of the write-ahead log and of its index,
//! which lie beside it for as long as anybody has the database open.

use std::fs;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::{Error, ErrorKind, Result};

/// A database file as it was when the store was opened.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    id: FileId,
    /// The write-ahead log and its index.
    log: [PathBuf; 2],
    /// Their identities, once they were seen; `None` where they may come and go.
    log_ids: Option<Mutex<[Option<FileId>; 2]>>,
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

/// When the database was last written, as its file system tells: no two writes need to differ in it.
pub(super) type Written = [Option<(SystemTime, u64)>; 2];

impl FileId {
    /// The file at that path; `None` where there is none, or where it cannot be told.
    ///
    /// Only its metadata is read: to open the file and close it again would drop the locks that
    /// SQLite has on it in this process.
    #[cfg(unix)]
    pub(super) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).ok().map(|found| Self(found.dev(), found.ino()))
    }

    #[cfg(not(unix))]
    pub(super) fn of(_: &Path) -> Option<Self> {
        None
    }
}

impl DatabaseFile {
    /// The file at that path as it is now; `None` where its identity cannot be told.
    ///
    /// `keeps_log` is whether a connection stays open for as long as the store is used. Without one
    /// SQLite may remove the write-ahead log and create it again.
    pub(super) fn now_at(path: &Path, keeps_log: bool) -> Option<Self> {
        let id = FileId::of(path)?;
        // SQLite follows links before it names the log.
        let resolved = fs::canonicalize(path).ok()?;
        let beside = |suffix: &str| {
            let mut name = resolved.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        Some(Self {
            path: path.to_owned(),
            id,
            log: [beside("-wal"), beside("-shm")],
            log_ids: keeps_log.then(Mutex::default),
        })
    }

    /// Compares the files at their paths with those that were opened. To be called while a
    /// transaction is open: then the log is there, if there is one.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt), naming the file, when another is there now, or none.
    pub(super) fn check(&self) -> Result<()> {
        same(&self.path, self.id)?;
        let Some(log_ids) = &self.log_ids else { return Ok(()) };
        let mut log_ids = log_ids.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, seen) in self.log.iter().zip(log_ids.iter_mut()) {
            match *seen {
                Some(id) => same(path, id)?,
                None => *seen = FileId::of(path),
            }
        }
        Ok(())
    }

    /// When the database and its log were last written.
    pub(super) fn written(&self) -> Written {
        let [log, _] = &self.log;
        [&self.path, log].map(|path| {
            let found = fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        })
    }
}

/// Fails where the file at that path is not that one. What cannot be told is taken for the same.
fn same(path: &Path, id: FileId) -> Result<()> {
    match FileId::of(path) {
        Some(found) if found == id => Ok(()),
        Some(_) => Err(changed(path, "was replaced")),
        None => match fs::metadata(path) {
            Err(error) if error.kind() == NotFound => Err(changed(path, "was deleted")),
            _ => Ok(()),
        },
    }
}

fn changed(path: &Path, how: &str) -> Error {
    let message = format!("the file {:?} {how} while it was in use", path.display().to_string());
    Error::new(ErrorKind::Corrupt, message)
        .with_fix("restart all processes that use it, and stop them before the file is changed")
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        fs::write(&path, "x").unwrap();
        (folder, path)
    }

    #[test]
    fn another_file_at_the_path_is_noticed_and_so_is_none() {
        let (folder, path) = place();
        let file = DatabaseFile::now_at(&path, true).unwrap();
        file.check().unwrap();
        let kept = folder.path().join("kept.db");
        fs::rename(&path, &kept).unwrap();
        let error = file.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("x.db\" was deleted"), "{error}");
        fs::write(&path, "x").unwrap();
        assert!(file.check().unwrap_err().to_string().contains("was replaced"));
        fs::rename(&kept, &path).unwrap();
        file.check().unwrap();
    }

    #[test]
    fn the_log_of_a_file_behind_a_link_is_beside_the_file() {
        let (folder, path) = place();
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let log = folder.path().join("x.db-wal");
        let (file, careless) = (
            DatabaseFile::now_at(&link, true).unwrap(),
            DatabaseFile::now_at(&link, false).unwrap(),
        );
        file.check().unwrap();
        fs::write(&log, "x").unwrap();
        file.check().unwrap();
        fs::remove_file(&log).unwrap();
        assert!(file.check().unwrap_err().to_string().contains("x.db-wal\" was deleted"));
        careless.check().unwrap();
        fs::remove_file(&link).unwrap();
        assert!(careless.check().is_err());
    }
}
