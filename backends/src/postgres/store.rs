//! The store: each operation is one statement.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqlStr;
use sqlx::postgres::{PgPool, PgRow, Postgres};
use uuid::Uuid;

use super::notifications::Notifications;
use super::session::{self, SessionSettings};
use super::shared::PostgresInner;
use super::sql::Sql;
use super::{config, error, row, schema, watch};
use crate::common::pool_call::Connections;
use crate::common::server::Purpose;
use crate::common::timeout::read_timeout;
use crate::common::with_context;
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    Error, Grant, Held, HintStream, InstanceRecord, LeaseId, LeaseRecord, ListOptions, LockName,
    LockRecord, LockStore, Namespace, OpenOptions, Presence, PruneOptions, Reach, ReleaseOutcome,
    RenewOptions, RenewOutcome, Result, StoreClock, Wake, check_ttl,
};

/// Locks in a PostgreSQL database; see the [module](super) for what they guarantee.
///
/// Clones share the same pool of connections and the same listener.
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<PostgresInner>,
}

impl PostgresStore {
    /// Connects to the database of a URL such as `postgres://user:password@host/database`, with a
    /// pool of its own. The options are sqlx's, which are much like libpq's.
    ///
    /// A missing table is created if [`OpenOptions::schema`] allows.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for what is no such URL, leads to no PostgreSQL server or no
    /// database, or lacks the table; [`Denied`](crate::ErrorKind::Denied) for a wrong password, a missing
    /// right or a server that accepts no writes; [`Corrupt`](crate::ErrorKind::Corrupt) for a table that
    /// is not Leasehold's, which is left as it is; [`Unavailable`](crate::ErrorKind::Unavailable) when the
    /// server is not reached.
    ///
    /// # Cancel safety
    /// A dropped call leaves the schema either as it was or complete.
    pub async fn connect(url: &str, options: &OpenOptions) -> Result<Self> {
        let connect = config::from_url(url).map_err(|error| error.during("open"))?;
        let label = config::label(&connect);
        // One connection beforehand says what is wrong; a pool would say that it took too long.
        let check = async {
            let mut connection = session::connect(&connect).await.map_err(error::connecting)?;
            schema::open(&mut connection, options, &connect).await
        };
        let sql = read_timeout(check).await.map_err(with_context("open", &label, None))?;
        let pool = config::pool(&connect, options.max_connections);
        let connections = Connections::own(pool.clone(), SessionSettings::default());
        Ok(Self::build(pool, connections, label, sql))
    }

    /// Builds the store on a pool that the application already has.
    ///
    /// The pool's settings are left as they are. The tables are found, or created, by the search
    /// path of the connection that opens the store; from then on the search path of other
    /// connections makes no difference. Heartbeats, which must not wait behind the application's
    /// statements, and [`watch`](LockStore::watch) open one connection each, outside of the pool,
    /// with the options that the pool has at that moment.
    ///
    /// A pool whose statement cache is off is refused behind a pooler such as PgBouncer.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// A dropped call leaves the schema either as it was or complete.
    pub async fn from_pool(pool: PgPool, options: &OpenOptions) -> Result<Self> {
        let label = config::label(&pool.connect_options());
        let check = async {
            let mut connection = pool.acquire().await.map_err(error::connecting)?;
            let connect = pool.connect_options();
            let prepared = schema::open(&mut connection, options, &connect).await;
            if prepared.is_err() {
                connection.close_on_drop();
            }
            prepared
        };
        let sql = read_timeout(check).await.map_err(with_context("open", &label, None))?;
        let connections = Connections::of_application(pool.clone(), SessionSettings::default());
        Ok(Self::build(pool, connections, label, sql))
    }

    fn build(pool: PgPool, connections: Connections<Postgres>, label: String, sql: Sql) -> Self {
        let notifications = Notifications::default();
        Self { shared: Arc::new(PostgresInner { label, pool, connections, sql, notifications }) }
    }

    /// The statements that create the tables of that namespace, for an application's migrations.
    ///
    /// # Errors
    /// None: every namespace can be used.
    pub fn schema(namespace: &Namespace) -> Result<String> {
        Ok(schema::text(namespace))
    }

    /// Returns the name of the table of locks, with its schema and quoted where needed, so that it
    /// can be used in SQL without changes. An application may read its columns `name` and `token`,
    /// which stay, to make a write in the same database conditional on a token being the latest of
    /// its lock.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.shared.sql.table
    }

    /// Returns the connection pool, which the application may use for other tables. Closing it
    /// closes the store.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.shared.pool
    }
}

/// Exact, since the longest ttl is a day; rounded up to the step.
fn ttl_micros(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX)
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("label", &self.shared.label)
            .field("table", &self.shared.sql.table)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl LockStore for PostgresStore {
    fn label(&self) -> &str {
        &self.shared.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            min_ttl: Duration::from_millis(50),
            ttl_step: Duration::from_micros(1),
            clock: StoreClock::Server,
            reach: Reach::Network,
            wake: Wake::Push,
            renew_batch: 500,
        }
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let shared = &*self.shared;
        let with_context = shared.with_context("acquire", Some(name));
        check_ttl(options.ttl, &self.capabilities()).map_err(&with_context)?;
        shared.notifications.note(name);
        let holder = serde_json::to_string(&options.holder)
            .map_err(|e| with_context(Error::invalid("the holder is no JSON").with_source(e)))?;
        let (lease, ttl) = (options.lease.to_string(), ttl_micros(options.ttl));
        let statement = || {
            sqlx::query(shared.sql.acquire.clone())
                .bind(name.as_str())
                .bind(&lease)
                .bind(&holder)
                .bind(ttl)
        };
        let answer =
            |done, LockRecord { token, lease, disabled, .. }| match (disabled, lease, token) {
                // Counted from when the server decided, however long ago that is.
                (None, _, Some(token)) if done => {
                    let left = Duration::from_micros(ttl.unsigned_abs());
                    Some(AcquireOutcome::Granted(Grant { token, left }))
                }
                (Some(disabled), ..) => Some(AcquireOutcome::Disabled(disabled)),
                (None, Some(lease), Some(token)) if lease.id == options.lease => {
                    Some(AcquireOutcome::Granted(Grant { token, left: lease.left }))
                }
                (None, Some(LeaseRecord { holder, left, .. }), Some(token)) => {
                    Some(AcquireOutcome::Held(Held { holder, token, left }))
                }
                (None, ..) => None,
            };
        shared.decide(Purpose::Acquire, statement, answer).await.map_err(with_context)
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
        let (mut names, mut ids, mut ttls) = (Vec::new(), Vec::new(), Vec::new());
        for ((name, lease), ttl) in last {
            names.push(name);
            ids.push(lease.to_string());
            ttls.push(ttl);
        }
        let statement =
            || sqlx::query(shared.sql.renew.clone()).bind(&names).bind(&ids).bind(&ttls);
        let rows = shared.write(Purpose::Renew, statement).await.map_err(with_context)?;
        // A damaged row must not cost the others their leases.
        let renewal = |row: &PgRow| match row::renewal(row, &shared.sql.table) {
            Ok(renewal) => Some(renewal),
            Err(error) => {
                tracing::error!(%error, "a row of a renewal cannot be read");
                None
            }
        };
        let found: HashMap<_, _> = rows.iter().filter_map(renewal).collect();
        let answer = |l: &RenewOptions| {
            found.get(&(l.name.clone(), l.lease)).cloned().unwrap_or(RenewOutcome::Lost)
        };
        Ok(leases.iter().map(answer).collect())
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let shared = &*self.shared;
        let lease = lease.to_string();
        let lease = &lease;
        let release = |sql: SqlStr| {
            let statement = move || sqlx::query(sql.clone()).bind(name.as_str()).bind(lease);
            shared.write(Purpose::Release, statement)
        };
        let rows = shared.sql.release.run(release).await;
        let rows = rows.map_err(shared.with_context("release", Some(name)))?;
        let none = rows.is_empty();
        Ok(if none { ReleaseOutcome::NotHeld } else { ReleaseOutcome::Released })
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let shared = &*self.shared;
        let statement = |sql: SqlStr| {
            sqlx::query(sql)
                .bind(name.as_str())
                .bind(options.reason.as_str())
                .bind(options.by.as_deref())
        };
        let answer = |done, standing: LockRecord| {
            if done {
                Some(DisableOutcome::Disabled)
            } else {
                standing.disabled.map(DisableOutcome::AlreadyDisabled)
            }
        };
        let disable =
            |sql: SqlStr| shared.decide(Purpose::Change, move || statement(sql.clone()), answer);
        shared.sql.disable.run(disable).await.map_err(shared.with_context("disable", Some(name)))
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let shared = &*self.shared;
        let enable = |sql: SqlStr| {
            let statement = move || sqlx::query(sql.clone()).bind(name.as_str());
            shared.write(Purpose::Change, statement)
        };
        let rows = shared.sql.enable.run(enable).await;
        let rows = rows.map_err(shared.with_context("enable", Some(name)))?;
        let none = rows.is_empty();
        Ok(if none { EnableOutcome::AlreadyEnabled } else { EnableOutcome::Enabled })
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let shared = &*self.shared;
        shared.notifications.note(name);
        let get = async {
            let statement = || sqlx::query(shared.sql.find.clone()).bind(name.as_str());
            let rows = shared.read(statement).await?;
            Ok(rows.first().map(|row| {
                let record = row::record(row, &shared.sql.table);
                record.unwrap_or_else(|error| LockRecord::unreadable(name.clone(), &error))
            }))
        };
        get.await.map_err(shared.with_context("get", Some(name)))
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let shared = &*self.shared;
        let after = options.after.as_ref().map(LockName::as_str);
        let prefix = options.prefix.as_str();
        // No name has a NUL character, and PostgreSQL would refuse the text.
        if options.limit == 0 || prefix.contains('\0') {
            return Ok(Vec::new());
        }
        let list = async {
            let mut records = Vec::new();
            let mut after = after.map(str::to_owned);
            loop {
                let wanted = options.limit - records.len();
                let statement = || {
                    sqlx::query(shared.sql.list.clone())
                        .bind(prefix.max(after.as_deref().unwrap_or_default()))
                        .bind(after.as_deref())
                        .bind(i64::try_from(wanted).unwrap_or(i64::MAX))
                };
                let rows = shared.read(statement).await?;
                let page = row::to_page(&rows, &shared.sql.table, prefix);
                records.extend(page.records);
                // A row whose name cannot be read is omitted, and another row takes its place.
                match page.last {
                    Some(last) if rows.len() >= wanted && records.len() < options.limit => {
                        after = Some(last);
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
        watch::hints(&self.shared).await.map_err(self.shared.with_context("watch", None))
    }
}
