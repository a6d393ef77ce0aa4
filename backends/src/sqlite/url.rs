//! The URL says where the database is; a store opens a pool of connections for itself.

use std::fs;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::error_codes;
use super::file::DatabaseFile;
use super::retry_busy::retry_while_busy;
use crate::common::url;
use crate::{Error, ErrorKind, OpenOptions, Result, Schema};

/// SQLite waits this long for another process's write transaction before it gives up.
///
/// A connection that waits cannot be called off, so this is also how long a dropped call may keep
/// one busy.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// A call waits this long for a connection of the pool.
const POOL_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection writes at a time; the others read. Two more exist beside the pool.
const MAX_CONNECTIONS: u32 = 3;

/// A location says where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// The database is in this process's memory.
    Memory,
    /// The database is in that file, which has an absolute path.
    File(PathBuf),
}

impl Location {
    /// Reads `sqlite:PATH`, `sqlite://PATH` and `sqlite::memory:`.
    pub(super) fn from_url(url: &str) -> Result<Self> {
        let rest = url::split(url).map_or(url, |(_, rest)| rest);
        match rest.strip_prefix("//").unwrap_or(rest) {
            ":memory:" => Ok(Self::Memory),
            // Other programs read options there; here they would make a file of that name.
            path if has_options(path) => Err(Error::invalid(
                "the URL of an SQLite database has options, and Leasehold knows none",
            )
            .with_fix("remove the question mark and all that follows")),
            path => Self::from_path(Path::new(path)),
        }
    }

    /// Takes the path literally. Once it is absolute, SQLite reads no `:memory:` and no `file:` in it.
    pub(super) fn from_path(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        if shown.is_empty() {
            return Err(Error::invalid("the path of the SQLite database is empty")
                .with_fix("write sqlite:PATH or sqlite::memory:"));
        }
        if shown.contains('\0') {
            return Err(Error::invalid("the path of the SQLite database has a NUL character"));
        }
        if path.to_str().is_none() {
            return Err(Error::invalid(format!("the path {shown:?} is not UTF-8"))
                .with_fix("SQLite databases need a path in UTF-8"));
        }
        std::path::absolute(path).map(Self::File).map_err(|source| {
            Error::invalid(format!("the path {shown:?} cannot be made absolute"))
                .with_source(source)
        })
    }

    /// Returns the store's name in messages.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Memory => "sqlite::memory:".to_owned(),
            Self::File(path) => format!("sqlite:{}", path.display()),
        }
    }

    /// Opens a pool on it, with one connection to begin with, which shows whether it can be opened.
    pub(super) async fn connect(&self, options: &OpenOptions) -> Result<SqlitePool> {
        let connection = SqliteConnectOptions::new()
            .busy_timeout(BUSY_TIMEOUT)
            // Losing the last commits to a power failure is harmless here: see the module's page.
            .synchronous(SqliteSynchronous::Normal)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(POOL_TIMEOUT)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None);
        let (pool, connection) = match self {
            // The one connection is the database.
            Self::Memory => (pool.min_connections(1).max_connections(1), connection),
            Self::File(path) => {
                check_file(path, options.schema)?;
                let create = options.schema == Schema::Create;
                let connection = connection.filename(path).create_if_missing(create);
                (pool.max_connections(MAX_CONNECTIONS), connection)
            }
        };
        let opened = retry_while_busy(|| pool.clone().connect_with(connection.clone())).await?;
        if *self != Self::Memory {
            // A file that is deleted later must not be created again.
            opened.set_connect_options(connection.create_if_missing(false));
        }
        Ok(opened)
    }

    /// Opens a connection beside the pool's, which stays open for as long as the store. Returns
    /// `None` if the database is in memory, or if the pool's options cannot open another
    /// connection.
    pub(super) async fn connect_beside(&self, pool: &SqlitePool) -> Option<SqliteConnection> {
        if *self == Self::Memory {
            return None;
        }
        let options = beside(pool);
        let opened = retry_while_busy(|| async {
            let mut connection = options.connect().await?;
            // SQLite opens the write-ahead log at the first read of the database.
            sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&mut connection).await?;
            Ok(connection)
        });
        opened
            .await
            .inspect_err(|error| tracing::debug!(%error, "cannot open a separate connection"))
            .ok()
    }

    /// Returns the file as it is now, which that pool opens.
    pub(super) fn file(&self, pool: &SqlitePool, keeps_log: bool) -> Option<DatabaseFile> {
        match self {
            Self::Memory => None,
            Self::File(path) => {
                let file = DatabaseFile::now_at(path, keeps_log)?;
                Some(file.opened_by(pool.connect_options().get_filename()))
            }
        }
    }
}

/// Returns the options of a connection beside those of the pool.
pub(super) fn beside(pool: &SqlitePool) -> SqliteConnectOptions {
    let options = Arc::unwrap_or_clone(pool.connect_options());
    options.create_if_missing(false).busy_timeout(BUSY_TIMEOUT).disable_statement_logging()
}

/// Returns whether a path has what looks like the options of a URL.
fn has_options(path: &str) -> bool {
    let Some((_, options)) = path.split_once('?') else { return false };
    options.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
    })
}

/// Refuses what SQLite would report as "unable to open database file", or hang on (a FIFO).
fn check_file(path: &Path, schema: Schema) -> Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(Error::invalid("this is a directory").with_fix("name a file in it"))
        }
        Ok(found) if !found.is_file() => {
            Err(Error::invalid("this is not a regular file").with_fix("name an SQLite database"))
        }
        // SQLite takes a file of one byte for an empty one (its ticket 3260), and would overwrite it.
        Ok(found) if found.len() == 1 => Err(error_codes::no_database()),
        Err(error) if error.kind() == NotFound => {
            let folder = path.parent().filter(|folder| !folder.is_dir());
            if let Some(folder) = folder {
                let message = format!("the folder {:?} does not exist", folder.display());
                Err(Error::new(ErrorKind::Denied, message).with_fix("create it first"))
            } else if schema == Schema::Require {
                Err(Error::invalid("the database does not exist").with_fix(error_codes::CREATE_IT))
            } else {
                Ok(())
            }
        }
        // Whatever else is wrong, SQLite will tell.
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_literally() {
        let file = |path: &str| Location::File(PathBuf::from(path));
        for (url, location) in [
            ("sqlite:/a/b.db", file("/a/b.db")),
            ("sqlite:///a/b.db", file("/a/b.db")),
            ("SQLite:/a b/ü?mode#%41", file("/a b/ü?mode#%41")),
            ("sqlite::memory:", Location::Memory),
            ("sqlite://:memory:", Location::Memory),
        ] {
            assert_eq!(Location::from_url(url).unwrap(), location, "{url}");
        }
        let here = std::env::current_dir().unwrap();
        for (url, name) in
            [("sqlite:x.db", "x.db"), ("sqlite:file:x", "file:x"), ("sqlite:x?= y", "x?= y")]
        {
            assert_eq!(Location::from_url(url).unwrap(), Location::File(here.join(name)));
        }
        for url in ["sqlite:", "sqlite://", "sqlite:a\0b"] {
            assert!(Location::from_url(url).unwrap_err().is_invalid(), "{url}");
        }
    }

    #[test]
    fn options_are_refused_in_a_url_and_are_part_of_a_path() {
        for options in ["?mode=rwc", "?cache=shared", "?busy_timeout=1", "?=x?mode=ro"] {
            let url = format!("sqlite:x.db{options}");
            let refused = Location::from_url(&url);
            if options.starts_with("?=") {
                assert!(refused.is_ok(), "{url}");
                continue;
            }
            let error = refused.unwrap_err();
            assert!(error.is_invalid() && error.to_string().contains("options"), "{error}");
            let path = format!("/x.db{options}");
            let taken = Location::from_path(Path::new(&path)).unwrap();
            assert_eq!(taken, Location::File(path.into()));
        }
    }
}
