//! The store: each operation is one transaction.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::clock::{MachineClock, Now, duration, ttl_micros};
use super::config::Location;
use super::connections::HeartbeatConnection;
use super::poll_task::PollTask;
use super::retry_busy::retry_while_busy;
use super::shared::SqliteInner;
use super::sql::Sql;
use super::{error, schema, watch};
use crate::common::row::{get, token};
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    Error, Grant, Held, HintStream, InstanceRecord, LeaseId, LeaseRecord, ListOptions, LockName,
    LockRecord, LockStore, Namespace, OpenOptions, Presence, PruneOptions, Reach, ReleaseOutcome,
    RenewOptions, RenewOutcome, Result, Schema, StoreClock, Wake, check_ttl,
};

/// Locks in an SQLite database; see the [module](super) for what they guarantee.
///
/// Clones share the same pool of connections and the same queue of writers.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<SqliteInner>,
}

impl SqliteStore {
    /// Opens the database in that file with a pool of its own.
    ///
    /// The path is taken literally, `:memory:` included. If the file is deleted or replaced while
    /// the store is open, the store notices it: its leases are lost, and all calls fail. A missing
    /// file or schema is created if [`OpenOptions::schema`] allows; then the file is also switched
    /// to its write-ahead log.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a path that is none, a directory, or what is missing and
    /// may not be created; [`Denied`](crate::ErrorKind::Denied) for what cannot be opened;
    /// [`Corrupt`](crate::ErrorKind::Corrupt) for a file that is no database, which is left as it is, and
    /// for a table that is not Leasehold's.
    ///
    /// # Cancel safety
    /// A dropped call leaves the schema either as it was or complete.
    pub async fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        Self::open_at(&Location::from_path(path.as_ref())?, options).await
    }

    /// A new database in this process's memory, which ends with the store and its clones.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for [`Schema::Require`], since it starts empty.
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
    /// pool on a file the store takes one connection out, for renewals and releases, and opens one
    /// more by the pool's options; the pool may open another for the one that is taken.
    ///
    /// # Errors
    /// As [`open`](Self::open).
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
        let sql = match schema::ensure(&pool, &newest, options.schema).await? {
            true => newest,
            false => Sql::of(&options.namespace, false)?,
        };
        let mut beside = location.connect_beside(&pool).await;
        let keeps_log = match &mut beside {
            Some(beside) => schema::has_write_ahead_log(beside).await?,
            None => false,
        };
        // Where no second connection can be opened, as with exclusive locking, the application's
        // own one must stay in its pool.
        let holder = match &beside {
            Some(_) => Some(HeartbeatConnection::take_from(&pool).await?),
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
        let shared = SqliteInner {
            label: location.label(),
            reach,
            clock,
            writer: Mutex::new(()),
            pool_writer: Mutex::new(()),
            pool,
            holder,
            sql,
            file,
            beside: beside.map(Mutex::new),
            poll: PollTask::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The statements that create the schema of that namespace, for an application's migrations.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a namespace that SQLite keeps for itself.
    pub fn schema(namespace: &Namespace) -> Result<String> {
        Sql::new(namespace).map(|sql| sql.script())
    }

    /// The table of locks. An application may read its columns `name` and `token`, which stay, to
    /// make a write in the same database conditional on a token being the latest of its lock.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.shared.sql.table
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &SqliteInner {
        &self.shared
    }

    /// The pool of connections, for the application to close or to use for other tables.
    #[must_use]
    pub fn pool(&self) -> &SqlitePool {
        &self.shared.pool
    }
}

/// What a renewal is found by.
fn key(name: &str, lease: LeaseId) -> (String, String) {
    (name.to_owned(), lease.to_string())
}

fn opening(error: Error, location: &Location) -> Error {
    error.during("open").on_store(&location.label())
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("label", &self.shared.label)
            .field("table", &self.shared.sql.table)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl LockStore for SqliteStore {
    fn label(&self) -> &str {
        &self.shared.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            min_ttl: Duration::from_millis(50),
            ttl_step: Duration::from_micros(1),
            clock: StoreClock::Machine,
            reach: self.shared.reach,
            wake: Wake::Poll(watch::INTERVAL),
            renew_batch: 500,
        }
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let shared = &*self.shared;
        let with_context = shared.with_context("acquire", Some(name));
        check_ttl(options.ttl, &self.capabilities()).map_err(&with_context)?;
        let ttl = ttl_micros(options.ttl);
        let holder = serde_json::to_string(&options.holder)
            .map_err(|e| with_context(Error::invalid("the holder is no JSON").with_source(e)))?;
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let granted = sqlx::query(shared.sql.acquire.clone())
                .bind(name.as_str())
                .bind(options.lease.to_string())
                .bind(&holder)
                .bind(shared.clock.boot())
                .bind(now.uptime)
                .bind(ttl)
                .bind(now.wall)
                .fetch_optional(&mut *connection)
                .await
                .map_err(error::writing)?;
            if let Some(row) = granted {
                let token = get(&row, "token").and_then(token);
                let token = token.map_err(|corrupt| shared.corrupt_row(corrupt))?;
                let token = token.ok_or_else(|| shared.contradiction())?;
                let left = duration(ttl);
                return Ok(AcquireOutcome::Granted(Grant { token, left }));
            }
            let LockRecord { token, lease, disabled, .. } =
                shared.stored_lock(connection, name, now).await?;
            match (disabled, lease, token) {
                (Some(disabled), ..) => Ok(AcquireOutcome::Disabled(disabled)),
                (None, Some(lease), Some(token)) if lease.id == options.lease => {
                    Ok(AcquireOutcome::Granted(Grant { token, left: lease.left }))
                }
                (None, Some(LeaseRecord { holder, left, .. }), Some(token)) => {
                    Ok(AcquireOutcome::Held(Held { holder, token, left }))
                }
                (None, ..) => Err(shared.contradiction()),
            }
        };
        shared.write(work).await.map_err(with_context)
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        let shared = &*self.shared;
        let with_context = shared.with_context("renew", None);
        for lease in leases {
            check_ttl(lease.ttl, &self.capabilities())
                .map_err(|error| with_context(error.for_lock(&lease.name)))?;
        }
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        // Of a lease that is in it twice, the last ttl counts, and each answer tells of that.
        let last: HashMap<_, _> =
            leases.iter().map(|l| ((l.name.as_str(), l.lease), ttl_micros(l.ttl))).collect();
        let batch: Vec<_> = last.iter().map(|((name, lease), ttl)| (name, lease, ttl)).collect();
        let batch = serde_json::to_string(&batch)
            .map_err(|e| with_context(Error::invalid("the batch is no JSON").with_source(e)))?;
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let rows = sqlx::query(shared.sql.renew.clone())
                .bind(&batch)
                .bind(shared.clock.boot())
                .bind(now.uptime)
                .fetch_all(&mut *connection)
                .await
                .map_err(error::writing)?;
            // A damaged row must not cost the others their leases.
            let renewal = |row| match shared.renewal(row, now) {
                Ok(renewal) => Some(renewal),
                Err(error) => {
                    tracing::error!(%error, "a lease cannot be renewed");
                    None
                }
            };
            let mut found: HashMap<_, _> = rows.iter().filter_map(renewal).collect();
            let missing =
                last.keys().filter(|(name, lease)| !found.contains_key(&key(name, *lease)));
            let missing: Vec<_> = missing.collect();
            if !missing.is_empty() {
                let unreadable = shared.unreadable_leases(connection, &missing, now).await?;
                found.extend(unreadable);
            }
            Ok(found)
        };
        let found = match shared.write_for_heartbeat(work).await {
            Ok(found) => found,
            Err(error) => {
                // A row in a file that other processes no longer open does not keep them from the
                // lock.
                let Err(why) = shared.check_file() else { return Err(with_context(error)) };
                tracing::error!(error = %with_context(why), "all leases of this store are lost");
                return Ok(vec![RenewOutcome::Lost; leases.len()]);
            }
        };
        let answer = |l: &RenewOptions| {
            let found = found.get(&key(l.name.as_str(), l.lease));
            found.cloned().unwrap_or(RenewOutcome::Lost)
        };
        Ok(leases.iter().map(answer).collect())
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let shared = &*self.shared;
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let done = sqlx::query(shared.sql.release.clone())
                .bind(name.as_str())
                .bind(lease.to_string())
                .bind(shared.clock.boot())
                .bind(now.uptime)
                .bind(now.wall)
                .execute(connection)
                .await
                .map_err(error::writing)?;
            Ok(match done.rows_affected() {
                0 => ReleaseOutcome::NotHeld,
                _ => ReleaseOutcome::Released,
            })
        };
        shared.write_for_heartbeat(work).await.map_err(shared.with_context("release", Some(name)))
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let shared = &*self.shared;
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let done = sqlx::query(shared.sql.disable.clone())
                .bind(name.as_str())
                .bind(options.reason.as_str())
                .bind(options.by.as_deref())
                .bind(now.wall)
                .bind(shared.clock.boot())
                .bind(now.uptime)
                .fetch_optional(&mut *connection)
                .await
                .map_err(error::writing)?;
            if done.is_some() {
                return Ok(DisableOutcome::Disabled);
            }
            let standing = shared.stored_lock(connection, name, now).await?;
            let disablement = standing.disabled.ok_or_else(|| shared.contradiction())?;
            Ok(DisableOutcome::AlreadyDisabled(disablement))
        };
        shared.write(work).await.map_err(shared.with_context("disable", Some(name)))
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let shared = &*self.shared;
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let done = sqlx::query(shared.sql.enable.clone())
                .bind(name.as_str())
                .bind(now.wall)
                .execute(connection)
                .await
                .map_err(error::writing)?;
            Ok(match done.rows_affected() {
                0 => EnableOutcome::AlreadyEnabled,
                _ => EnableOutcome::Enabled,
            })
        };
        shared.write(work).await.map_err(shared.with_context("enable", Some(name)))
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let shared = &*self.shared;
        let get = async {
            let mut connection = shared.connection().await?;
            let row = shared.find(&mut connection, name).await?;
            Ok(row.map(|row| {
                let record = shared.record(&row, shared.clock.now());
                record.unwrap_or_else(|error| LockRecord::unreadable(name.clone(), &error))
            }))
        };
        get.await.map_err(shared.with_context("get", Some(name)))
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let list = self.shared.list(options);
        list.await
            .map_err(|error| self.shared.with_file_check(error))
            .map_err(self.shared.with_context("list", None))
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        self.shared.prune(options).await.map_err(self.shared.with_context("prune", None))
    }

    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        let with_context = self.shared.with_context("announce", None);
        check_ttl(ttl, &self.capabilities()).map_err(&with_context)?;
        self.shared.announce(presence, ttl_micros(ttl)).await.map_err(with_context)
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        self.shared.withdraw(instance).await.map_err(self.shared.with_context("withdraw", None))
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        self.shared.instances().await.map_err(self.shared.with_context("instances", None))
    }

    async fn watch(&self) -> Result<HintStream> {
        watch::hints(&self.shared).await.map_err(self.shared.with_context("watch", None))
    }
}
