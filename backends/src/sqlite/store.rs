//! This is the store that applications open.

use std::path::Path;

use sqlx::sqlite::SqlitePool;
use tokio::sync::Mutex;

use super::calls::Sqlite;
use super::clock::MachineClock;
use super::connections::WriteConnection;
use super::retry_busy::retry_while_busy;
use super::schema;
use super::sql::Sql;
use super::tables::AddedColumns;
use super::url::Location;
use crate::shell::Store;
use crate::sql::released_names::ReleasedNames;
use crate::{Error, Namespace, OpenOptions, Reach, Result, Schema};

/// This store keeps locks in an SQLite database; see the [module](super) for what they guarantee.
///
/// Clones share the same pool of connections and the same queue of writers.
pub type SqliteStore = Store<Sqlite>;

impl SqliteStore {
    /// Opens the database in that file with a pool of its own.
    ///
    /// The path is taken literally, `:memory:` included. If the file is deleted or replaced while
    /// the store is open, the store notices it: its leases are lost, and all calls fail. A missing
    /// file or schema is created if [`OpenOptions::schema`] allows; then the file is also switched
    /// to its write-ahead log.
    ///
    /// # Errors
    /// This returns [`Invalid`](crate::ErrorKind::Invalid) for an invalid path, a directory, or a
    /// missing file or table that may not be created; [`Denied`](crate::ErrorKind::Denied) for a
    /// file that cannot be opened; [`Corrupt`](crate::ErrorKind::Corrupt) for a file that is not a
    /// database, which is left as it is, and for a table that is not Leasehold's.
    ///
    /// # Cancel safety
    /// A dropped call leaves the schema either as it was or complete.
    pub async fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        Self::open_at(&Location::from_path(path.as_ref())?, options).await
    }

    /// Creates a database in this process's memory, which ends with the store and its clones.
    ///
    /// # Errors
    /// This returns [`Invalid`](crate::ErrorKind::Invalid) for [`Schema::Require`], since it starts
    /// empty.
    ///
    /// # Cancel safety
    /// Nothing is left of a dropped call.
    pub async fn in_memory(options: &OpenOptions) -> Result<Self> {
        Self::open_at(&Location::Memory, options).await
    }

    /// Builds the store on a pool that the application already has.
    ///
    /// The pool's settings and the file's journal mode are left as they are. It must be of one
    /// database: each connection of a pool on `:memory:` has its own, unless they share a cache. Of a
    /// pool on a file the store takes one connection out, for its writes, and opens one more by the
    /// pool's options; the pool may open another for the one that is taken.
    ///
    /// # Errors
    /// This fails for the same reasons as `open`.
    ///
    /// # Cancel safety
    /// A dropped call leaves the schema either as it was or complete.
    pub async fn from_pool(pool: SqlitePool, options: &OpenOptions) -> Result<Self> {
        let file: Option<String> = retry_while_busy(|| {
            sqlx::query_scalar("SELECT file FROM pragma_database_list WHERE name = 'main'")
                .fetch_one(&pool)
        })
        .await
        .map_err(|error| error.during("open"))?;
        let location = match file {
            Some(file) if !file.is_empty() => Location::File(file.into()),
            _ => Location::Memory,
        };
        Self::build(pool, &location, options).await.map_err(|e| opening(e, &location))
    }

    pub(super) async fn open_at(location: &Location, options: &OpenOptions) -> Result<Self> {
        let open = async {
            let pool = location.connect(options).await?;
            if *location != Location::Memory && options.schema == Schema::Create {
                schema::use_write_ahead_log(&pool).await?;
            }
            Self::build(pool, location, options).await
        };
        open.await.map_err(|error| opening(error, location))
    }

    async fn build(pool: SqlitePool, location: &Location, options: &OpenOptions) -> Result<Self> {
        let clock = MachineClock::detect()?;
        Self::build_with(pool, location, options, clock).await
    }

    async fn build_with(
        pool: SqlitePool,
        location: &Location,
        options: &OpenOptions,
        clock: MachineClock,
    ) -> Result<Self> {
        let before = location.file(&pool, false);
        let newest = Sql::new(&options.namespace)?;
        let added = schema::ensure(&pool, &newest, options.schema).await?;
        let sql =
            if added == AddedColumns::ALL { newest } else { Sql::of(&options.namespace, added)? };
        let mut beside = location.connect_beside(&pool).await;
        let keeps_log = match &mut beside {
            Some(beside) => schema::has_write_ahead_log(beside).await?,
            None => false,
        };
        // Where no second connection can be opened, as with exclusive locking, the application's
        // own one must stay in its pool.
        let write_connection = match &beside {
            Some(_) => Some(WriteConnection::take_from(&pool).await?),
            None => None,
        };
        let file = location.file(&pool, keeps_log);
        if let Some(before) = before {
            before.check()?;
        }
        let reach = match location {
            Location::Memory => Reach::Process,
            Location::File(_) => Reach::Machine,
        };
        Ok(Self::new(Sqlite {
            label: location.label(),
            reach,
            clock,
            writer: Mutex::new(()),
            pool_writer: Mutex::new(()),
            released_names: ReleasedNames::default(),
            pool,
            write_connection,
            sql,
            file,
            beside: beside.map(Mutex::new),
            #[cfg(test)]
            reads: std::sync::atomic::AtomicUsize::default(),
        }))
    }

    /// Returns the statements that create the schema of that namespace, for an application's
    /// migrations.
    ///
    /// # Errors
    /// This returns [`Invalid`](crate::ErrorKind::Invalid) for a namespace that SQLite keeps for
    /// itself.
    pub fn schema(namespace: &Namespace) -> Result<String> {
        Sql::new(namespace).map(|sql| sql.script())
    }

    /// Returns the name of the table of locks. An application may read its columns `name` and
    /// `token`, which stay, to make a write in the same database conditional on a token being the
    /// latest of its lock.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.backend().sql.statements.table
    }

    /// Returns the pool of connections, for the application to close or to use for other tables.
    #[must_use]
    pub fn pool(&self) -> &SqlitePool {
        &self.backend().pool
    }
}

fn opening(error: Error, location: &Location) -> Error {
    error.during("open").on_store(&location.label())
}
