//! Detects that the database file is no longer the one at its path.
//!
//! A process that has an SQLite file open keeps using it after it was deleted or replaced, while
//! others open the file that is at the path now: there would be two holders, and neither would
//! notice. So the identity of the file is compared before each operation, and so is that of the
//! write-ahead log and of its index, which exist beside it while a process has the database open.

use std::fs;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::{Error, ErrorKind, Result};

/// This is a database file as it was when the store was opened.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// A pool opens the file by this path, if it differs: it is a link to the other path, and may
    /// come to name another file.
    link: Option<PathBuf>,
    id: FileId,
    /// These are the write-ahead log and its index.
    log: [PathBuf; 2],
    /// These are their identities, once they were seen; `None` means that SQLite may remove and
    /// create them.
    log_ids: Option<Mutex<[Option<FileId>; 2]>>,
}

/// This is the identity of a file, independent of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

/// These are the file system's times of the last writes. Two writes may have the same time.
pub(super) type FileTimes = [Option<(SystemTime, u64)>; 2];

impl FileId {
    /// Returns the identity of the file at that path; `None` if there is none, or if it is unknown.
    ///
    /// Only its metadata is read: opening and closing the file would drop the locks that SQLite
    /// holds on it in this process.
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
    /// Returns the file that is now at that path; `None` if its identity is unknown.
    ///
    /// `keeps_log` says that a connection stays open for as long as the store is used. Without one
    /// SQLite may remove the write-ahead log and create it again.
    pub(super) fn now_at(path: &Path, keeps_log: bool) -> Option<Self> {
        let id = FileId::of(path)?;
        // SQLite resolves links before it names the log.
        let resolved = fs::canonicalize(path).ok()?;
        let beside = |suffix: &str| {
            let mut name = resolved.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        Some(Self {
            path: path.to_owned(),
            link: None,
            id,
            log: [beside("-wal"), beside("-shm")],
            log_ids: keeps_log.then(Mutex::default),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Also checks the path by which a pool opens the file, if that is another path of it.
    pub(super) fn opened_by(self, path: &Path) -> Self {
        let link = std::path::absolute(path).ok();
        let link = link.filter(|link| *link != self.path && FileId::of(link) == Some(self.id));
        Self { link, ..self }
    }

    /// Compares the files at their paths with those that were opened. Call this while a transaction
    /// is open: only then does the log certainly exist, if there is one.
    ///
    /// # Errors
    /// This fails with [`Corrupt`](ErrorKind::Corrupt), and names the file, if it was replaced or
    /// deleted.
    pub(super) fn check(&self) -> Result<()> {
        for path in std::iter::once(&self.path).chain(&self.link) {
            same(path, self.id)?;
        }
        let Some(log_ids) = &self.log_ids else { return Ok(()) };
        let mut log_ids = log_ids.lock();
        for (path, seen) in self.log.iter().zip(log_ids.iter_mut()) {
            match *seen {
                Some(id) => same(path, id)?,
                None => *seen = FileId::of(path),
            }
        }
        Ok(())
    }

    /// Returns when the database and its log were last written.
    pub(super) fn written(&self) -> FileTimes {
        let [log, _] = &self.log;
        [&self.path, log].map(|path| {
            let found = fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        })
    }
}

/// Fails if the file at that path is another one. A file whose identity is unknown counts as the
/// same.
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
        .with_source(FileChanged(()))
        .with_fix("restart all processes that use it, and stop them before the file is changed")
}

/// This is the [source](std::error::Error::source) of an error that says that the database file was
/// deleted or replaced while a store had it open.
///
/// The store can be used again only if the file is put back, so such a process should end.
#[derive(Clone, Copy, Debug)]
pub struct FileChanged(());

impl std::fmt::Display for FileChanged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("this process still has the earlier file open")
    }
}

impl std::error::Error for FileChanged {}

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
    fn a_replaced_or_deleted_file_is_detected() {
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
    fn the_wal_of_a_symlinked_file_is_beside_its_target() {
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
