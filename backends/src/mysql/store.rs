//! The store: each operation is decided by one statement.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::mysql::{MySql, MySqlPool, MySqlRow};
use uuid::Uuid;

use super::release_notifications::ReleaseNotifications;
use super::session::{self, SessionSettings};
use super::shared::{MySqlInner, pause};
use super::sql::{EXTENDED, NOT_EXTENDED, Sql};
use super::{config, error, row, schema, watch};
use crate::common::pool_call::Connections;
use crate::common::server::Purpose;
use crate::common::timeout::{CALL_LIMIT, read_timeout};
use crate::common::with_context;
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, Clock, DisableOptions, DisableOutcome,
    EnableOutcome, Error, FencingToken, Grant, Held, HintStream, InstanceRecord, LeaseId,
    LeaseRecord, ListOptions, LockName, LockRecord, LockStore, Namespace, OpenOptions, Presence,
    PruneOptions, Reach, ReleaseOutcome, RenewOptions, RenewOutcome, Result, StoreClock,
    SystemClock, Wake, check_ttl,
};

/// Locks in a MySQL or MariaDB database; see the [module](super) for what they guarantee.
///
/// Clones share the same pool of connections.
#[derive(Clone)]
pub struct MySqlStore {
    shared: Arc<MySqlInner>,
}

impl MySqlStore {
    /// Connects to the database of a URL such as `mysql://user:password@host/database`, with a pool
    /// of its own. The options are sqlx's; `mariadb://` is the same.
    ///
    /// A missing table is created if [`OpenOptions::schema`] allows.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for what is no such URL, leads to no such server or no
    /// database, or lacks the table; [`Denied`](crate::ErrorKind::Denied) for a wrong password, a
    /// missing right or a server that accepts no writes; [`Corrupt`](crate::ErrorKind::Corrupt) for a
    /// table that is not Leasehold's, which is left as it is;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a server that is too old or hides its clock;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when the server is not reached.
    ///
    /// # Cancel safety
    /// A dropped call leaves the schema either as it was or complete.
    pub async fn connect(url: &str, options: &OpenOptions) -> Result<Self> {
        let connect = config::from_url(url).map_err(|error| error.during("open"))?;
        let label = config::label(&connect);
        // One connection beforehand says what is wrong; a pool would say that it took too long.
        let check = async {
            let mut connection = session::connect(&connect).await.map_err(error::connecting)?;
            schema::open(&mut connection, options).await
        };
        let opened = read_timeout(check).await.map_err(with_context("open", &label, None))?;
        let pool = config::pool(&connect, options.max_connections);
        Ok(Self::build(pool, label, opened, Connections::own))
    }

    /// Builds the store on a pool that the application already has.
    ///
    /// The pool's settings are left as they are. The tables are in the database that the connection
    /// which opens the store has chosen; from then on it makes no difference which one a connection
    /// has chosen. All of them must be in autocommit mode. Heartbeats, which must not wait behind the
    /// application's statements, open one connection outside of the pool, with the pool's options.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    pub async fn from_pool(pool: MySqlPool, options: &OpenOptions) -> Result<Self> {
        let label = config::label(&pool.connect_options());
        let check = async {
            let mut connection = pool.acquire().await.map_err(error::not_written)?;
            let opened = schema::open(&mut connection, options).await;
            if opened.is_err() {
                connection.close_on_drop();
            }
            opened
        };
        let opened = read_timeout(check).await.map_err(with_context("open", &label, None))?;
        Ok(Self::build(pool, label, opened, Connections::of_application))
    }

    fn build(
        pool: MySqlPool,
        label: String,
        (database, sql): (String, Sql),
        connect: fn(MySqlPool, SessionSettings) -> Connections<MySql>,
    ) -> Self {
        let connections = connect(pool.clone(), SessionSettings::new(&database));
        let notifications =
            ReleaseNotifications::new(&pool, &database, &sql.name, connections.close_all_signal());
        Self { shared: Arc::new(MySqlInner { label, pool, connections, sql, notifications }) }
    }

    /// The statements that create the tables of that namespace, for an application's migrations.
    ///
    /// # Errors
    /// None: every namespace can be used.
    pub fn schema(namespace: &Namespace) -> Result<String> {
        // Only the names without the database are printed.
        let sql = Sql::new(namespace, "");
        Ok(sql.tables().map(|(_, create, _)| format!("{create};\n")).concat())
    }

    /// Returns the name of the table of locks, with its database and quoted, so that it can be used
    /// in SQL without changes. An application may read its columns `name` and `token`, which stay,
    /// to make a write in the same database conditional on a token being the latest of its lock.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.shared.sql.table
    }

    /// Returns the connection pool, which the application may use for other tables. Closing it
    /// closes the store.
    #[must_use]
    pub fn pool(&self) -> &MySqlPool {
        &self.shared.pool
    }
}

/// Exact, since the longest ttl is a day; rounded up to the step.
fn ttl_micros(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX)
}

/// The answer for a name that is not free.
fn refusal(record: LockRecord, lease: LeaseId) -> Option<AcquireOutcome> {
    match (record.disabled, record.lease, record.token) {
        (Some(disabled), ..) => Some(AcquireOutcome::Disabled(disabled)),
        (None, Some(own), Some(token)) if own.id == lease => {
            Some(AcquireOutcome::Granted(Grant { token, left: own.left }))
        }
        (None, Some(LeaseRecord { holder, left, .. }), Some(token)) => {
            Some(AcquireOutcome::Held(Held { holder, token, left }))
        }
        (None, ..) => None,
    }
}

/// The answer for a lease that was not extended, from what is known of its name.
fn not_extended(record: LockRecord, lease: LeaseId) -> RenewOutcome {
    let disabled = record.disabled.map(|disabled| disabled.reason);
    match record.lease {
        Some(own) if own.id == lease => match own.ending.or(disabled) {
            Some(reason) => RenewOutcome::Disabled { reason, left: own.left },
            None => RenewOutcome::Extended { left: own.left },
        },
        _ => RenewOutcome::Lost,
    }
}

impl MySqlInner {
    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let holder = serde_json::to_vec(&options.holder)
            .map_err(|e| Error::invalid("the holder is no JSON").with_source(e))?;
        let lease = options.lease.to_string();
        let ttl = ttl_micros(options.ttl);
        let give_up = SystemClock.now() + CALL_LIMIT;
        for round in 1.. {
            let (lease, holder) = (lease.as_bytes(), &holder[..]);
            let statement = || {
                // Each sending has a number of its own: a later one must not take an earlier one,
                // whose answer was lost, for its own and grant the name again.
                let attempt = fastrand::i64(..);
                sqlx::query(self.sql.acquire.clone())
                    .bind(name.as_str().as_bytes())
                    .bind(lease)
                    .bind(holder)
                    .bind(ttl)
                    .bind(attempt)
                    .bind(attempt)
                    .bind(attempt)
                    .bind(attempt)
                    .bind(lease)
                    .bind(attempt)
                    .bind(holder)
                    .bind(attempt)
                    .bind(ttl)
                    .bind(attempt)
                    .bind(attempt)
            };
            let token = self.write(Purpose::Acquire, statement).await?;
            if token > 0 {
                let token = FencingToken::new(token)?;
                let left = Duration::from_micros(ttl.unsigned_abs());
                return Ok(AcquireOutcome::Granted(Grant { token, left }));
            }
            // It may have become free meanwhile.
            if let Some(record) = self.find(Purpose::Read, name).await?
                && let Some(answer) = refusal(record, options.lease)
            {
                return Ok(answer);
            }
            if SystemClock.now() >= give_up {
                break;
            }
            pause(round).await;
        }
        Err(self.too_contended())
    }

    async fn renew_one(&self, lease: &RenewOptions) -> Result<RenewOutcome> {
        let id = lease.lease.to_string();
        let ttl = ttl_micros(lease.ttl);
        let statement = || {
            sqlx::query(self.sql.renew.clone())
                .bind(ttl)
                .bind(lease.name.as_str().as_bytes())
                .bind(id.as_bytes())
        };
        match self.write(Purpose::Renew, statement).await? {
            EXTENDED => {
                Ok(RenewOutcome::Extended { left: Duration::from_micros(ttl.unsigned_abs()) })
            }
            NOT_EXTENDED => {
                let record = self.find(Purpose::Renew, &lease.name).await?;
                Ok(record.map_or(RenewOutcome::Lost, |record| not_extended(record, lease.lease)))
            }
            _ => Ok(RenewOutcome::Lost),
        }
    }

    async fn renew_many(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        // Of a lease that is in it twice, the last ttl counts, and each answer tells of that.
        let last: HashMap<_, _> =
            leases.iter().map(|l| ((l.name.as_str(), l.lease), ttl_micros(l.ttl))).collect();
        let mut list: Vec<_> =
            last.into_iter().map(|((name, id), ttl)| (name, id.to_string(), ttl)).collect();
        list.sort_unstable();
        let list = serde_json::to_vec(&list)
            .map_err(|e| Error::invalid("the leases are no JSON").with_source(e))?;
        let update = || sqlx::query(self.sql.renew_batch.clone()).bind(&list[..]);
        self.write(Purpose::Renew, update).await?;
        let find = || sqlx::query(self.sql.find_batch.clone()).bind(&list[..]);
        let rows = self.read_for(Purpose::Renew, find).await?;
        // A damaged row must not cost the others their leases.
        let table = &self.sql.table;
        let read = |row: &MySqlRow| {
            let record = row::record(row, table).inspect_err(|error| {
                tracing::error!(%error, "a row of a renewal cannot be read");
            });
            row::name(row, table).ok().map(|name| (name, record))
        };
        let found: HashMap<_, _> = rows.iter().filter_map(read).collect();
        let answer = |lease: &RenewOptions| match found.get(&lease.name) {
            Some(Ok(record)) => not_extended(record.clone(), lease.lease),
            Some(Err(error)) => RenewOutcome::Unknown { why: error.to_string() },
            None => RenewOutcome::Lost,
        };
        Ok(leases.iter().map(answer).collect())
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let give_up = SystemClock.now() + CALL_LIMIT;
        let reason = options.reason.as_str().as_bytes();
        let by = options.by.as_deref().map(str::as_bytes);
        for round in 1.. {
            let statement = || {
                let attempt = fastrand::i64(..);
                sqlx::query(self.sql.disable.clone())
                    .bind(name.as_str().as_bytes())
                    .bind(reason)
                    .bind(by)
                    .bind(attempt)
                    .bind(attempt)
                    .bind(attempt)
                    .bind(attempt)
                    .bind(reason)
                    .bind(attempt)
                    .bind(reason)
                    .bind(attempt)
                    .bind(by)
                    .bind(attempt)
                    .bind(attempt)
            };
            if self.write(Purpose::Change, statement).await? > 0 {
                return Ok(DisableOutcome::Disabled);
            }
            // It may have been enabled meanwhile.
            if let Some(disabled) =
                self.find(Purpose::Read, name).await?.and_then(|record| record.disabled)
            {
                return Ok(DisableOutcome::AlreadyDisabled(disabled));
            }
            if SystemClock.now() >= give_up {
                break;
            }
            pause(round).await;
        }
        Err(self.too_contended())
    }
}

impl fmt::Debug for MySqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlStore")
            .field("label", &self.shared.label)
            .field("table", &self.shared.sql.table)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl LockStore for MySqlStore {
    fn label(&self) -> &str {
        &self.shared.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            min_ttl: Duration::from_millis(50),
            ttl_step: Duration::from_micros(1),
            clock: StoreClock::Server,
            reach: Reach::Network,
            wake: Wake::Poll(watch::INTERVAL),
            renew_batch: 500,
        }
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let with_context = self.shared.with_context("acquire", Some(name));
        check_ttl(options.ttl, &self.capabilities()).map_err(&with_context)?;
        let outcome = self.shared.acquire(name, options).await.map_err(with_context)?;
        self.shared.notifications.on_acquire(name, options, &outcome);
        Ok(outcome)
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        let shared = &*self.shared;
        let with_context = shared.with_context("renew", None);
        for lease in leases {
            check_ttl(lease.ttl, &self.capabilities())
                .map_err(|error| with_context(error.for_lock(&lease.name)))?;
        }
        let outcomes = match leases {
            [] => Vec::new(),
            [lease] => vec![shared.renew_one(lease).await.map_err(with_context)?],
            leases => shared.renew_many(leases).await.map_err(with_context)?,
        };
        shared.notifications.on_renew(leases, &outcomes);
        Ok(outcomes)
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let shared = &*self.shared;
        let id = lease.to_string();
        let statement = || {
            sqlx::query(shared.sql.release.clone())
                .bind(name.as_str().as_bytes())
                .bind(id.as_bytes())
        };
        let done = shared.write(Purpose::Release, statement).await;
        let done = done.map_err(shared.with_context("release", Some(name)))?;
        let outcome = if done > 0 { ReleaseOutcome::Released } else { ReleaseOutcome::NotHeld };
        shared.notifications.on_release(lease, outcome);
        Ok(outcome)
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let with_context = self.shared.with_context("disable", Some(name));
        self.shared.disable(name, options).await.map_err(with_context)
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let shared = &*self.shared;
        let statement = || sqlx::query(shared.sql.enable.clone()).bind(name.as_str().as_bytes());
        let done = shared.write(Purpose::Change, statement).await;
        let done = done.map_err(shared.with_context("enable", Some(name)))?;
        Ok(if done > 0 { EnableOutcome::Enabled } else { EnableOutcome::AlreadyEnabled })
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        self.shared.get(name).await.map_err(self.shared.with_context("get", Some(name)))
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let shared = &*self.shared;
        if options.limit == 0 {
            return Ok(Vec::new());
        }
        let prefix = options.prefix.as_str();
        let list = async {
            let mut records = Vec::new();
            let after = options.after.as_ref().map(LockName::as_str).unwrap_or_default();
            let mut after = after.as_bytes().to_vec();
            loop {
                let wanted = options.limit - records.len();
                let statement = || {
                    sqlx::query(shared.sql.list.clone())
                        .bind(prefix.as_bytes())
                        .bind(&after[..])
                        .bind(i64::try_from(wanted).unwrap_or(i64::MAX))
                };
                let rows = shared.read(statement).await?;
                let page = row::to_page(&rows, &shared.sql.table, prefix);
                records.extend(page.records);
                // A row whose name cannot be read is omitted, and another row takes its place.
                match page.last {
                    Some(last) if rows.len() >= wanted && records.len() < options.limit => {
                        after = last;
                    }
                    _ => return Ok(records),
                }
            }
        };
        list.await.map_err(shared.with_context("list", None))
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
        watch::hints(Arc::clone(&self.shared))
            .await
            .map_err(self.shared.with_context("watch", None))
    }
}
