//! This example is a store of your own, on a datastore for which Leasehold has no backend: here a
//! map in this process. Copy it together with `stored_lock.rs`, and put your datastore in place of
//! the map.
//!
//! `leasehold::shell::Backend` has the operations that differ between datastores, and `Store` makes
//! a `LockStore` of them. The test `tests/own_store.rs` runs the conformance suite on it. A
//! datastore with a blocking API needs more, which the module `leasehold::shell` describes.
//!
//! ```text
//! cargo run -p leasehold-examples --example own_store
//! ```

mod stored_lock;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use leasehold::shell::{
    Attempt, Backend, Decision, Entry, Found, Hints, Page, Store, StoredInstance, renew_outcome,
};
use leasehold::{
    AcquireOptions, Capabilities, Client, DisableOptions, EnableOutcome, Grant, Hint, LeaseId,
    LockName, Namespace, Reach, ReleaseOutcome, RenewOptions, RenewOutcome, Result, StoreClock,
    Wake,
};
use parking_lot::Mutex;
use stored_lock::{StoredLock, micros, now};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

#[tokio::main]
async fn main() -> Result<()> {
    let (database, namespace) = (Database::default(), Namespace::default());
    let first = Client::new(open(&database, &namespace))?;
    let second = Client::new(open(&database, &namespace))?;
    let guard = first.lock("report")?.acquire(Duration::from_secs(1)).await?;
    println!("the first client holds the lock, under token {}", guard.token());
    let refused = second.lock("report")?.try_acquire().await?.is_none();
    println!("the second client is refused: {refused}");
    guard.release().await?;
    let guard = second.lock("report")?.acquire(Duration::from_secs(1)).await?;
    println!("the second client holds the lock, under token {}", guard.token());
    guard.release().await
}

/// This is the datastore. Each namespace has tables of its own.
#[derive(Debug, Default)]
pub(crate) struct Database {
    pub(crate) namespaces: Mutex<HashMap<Namespace, Arc<Tables>>>,
}

#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) locks: Mutex<BTreeMap<LockName, StoredLock>>,
    /// The text of each instance, and the time at which it expires.
    instances: Mutex<HashMap<Uuid, (String, u64)>>,
    changes: broadcast::Sender<LockName>,
}

impl Database {
    pub(crate) fn tables(&self, namespace: &Namespace) -> Arc<Tables> {
        let mut namespaces = self.namespaces.lock();
        let tables = namespaces.entry(namespace.clone()).or_insert_with(|| {
            let (locks, instances) = (Mutex::default(), Mutex::default());
            Arc::new(Tables { locks, instances, changes: broadcast::Sender::new(1024) })
        });
        Arc::clone(tables)
    }
}

/// Opens a store. This is a function because `Store` belongs to another crate, in which no methods
/// can be added.
///
/// Most stores connect here. Such a function is async, returns a `Result`, and adds to each error
/// what a `Store` adds to those of calls: `error.during("open").on_store(&label)`.
pub(crate) fn open(database: &Database, namespace: &Namespace) -> Store<MapBackend> {
    Store::new(MapBackend { label: "map:".to_owned(), tables: database.tables(namespace) })
}

#[derive(Debug)]
pub(crate) struct MapBackend {
    label: String,
    tables: Arc<Tables>,
}

impl MapBackend {
    fn report_change(&self, name: &LockName) {
        // This fails if nobody watches.
        _ = self.tables.changes.send(name.clone());
    }
}

/// A method that decides locks the map first, as a transaction of a datastore does, and reads the
/// clock only then, because a lease may expire during the wait.
impl Backend for MapBackend {
    fn label(&self) -> &str {
        &self.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(StoreClock::Machine, Reach::Process, Wake::Push)
            .with_min_ttl(Duration::from_millis(50))
            .with_ttl_step(Duration::from_micros(1))
    }

    async fn acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        _: Attempt,
    ) -> Result<Decision<Grant>> {
        let mut locks = self.tables.locks.lock();
        let now = now();
        let lock = locks.entry(name.clone()).or_default();
        Ok(match lock.grant(options, now)? {
            Some(grant) => Decision::Done(grant),
            None => Decision::Refused(lock.record(name, now)),
        })
    }

    async fn renew(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        let mut locks = self.tables.locks.lock();
        let now = now();
        let mut outcomes = Vec::with_capacity(leases.len());
        for renewal in leases {
            outcomes.push(Ok(match locks.get_mut(&renewal.name) {
                Some(lock) => {
                    lock.extend(renewal.lease, renewal.ttl, now);
                    renew_outcome(lock.record(&renewal.name, now), renewal.lease)
                }
                None => RenewOutcome::Lost,
            }));
        }
        Ok(outcomes)
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let mut locks = self.tables.locks.lock();
        let ended = locks.get_mut(name).is_some_and(|lock| lock.end(lease, now()));
        if !ended {
            return Ok(ReleaseOutcome::NotHeld);
        }
        self.report_change(name);
        Ok(ReleaseOutcome::Released)
    }

    async fn disable(
        &self,
        name: &LockName,
        options: &DisableOptions,
        _: Attempt,
    ) -> Result<Decision<()>> {
        let mut locks = self.tables.locks.lock();
        let now = now();
        let lock = locks.entry(name.clone()).or_default();
        if !lock.disable(options, now) {
            return Ok(Decision::Refused(lock.record(name, now)));
        }
        self.report_change(name);
        Ok(Decision::Done(()))
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let mut locks = self.tables.locks.lock();
        let was_disabled = locks.get_mut(name).is_some_and(StoredLock::enable);
        if !was_disabled {
            return Ok(EnableOutcome::AlreadyEnabled);
        }
        self.report_change(name);
        Ok(EnableOutcome::Enabled)
    }

    async fn read(&self, name: &LockName) -> Result<Option<Entry>> {
        let locks = self.tables.locks.lock();
        Ok(locks.get(name).map(|lock| Entry::Record(lock.record(name, now()))))
    }

    async fn page(&self, page: &Page<'_>) -> Result<Found<Entry>> {
        let locks = self.tables.locks.lock();
        let now = now();
        let rows = rows(&locks, page);
        let entries = rows.iter().map(|(name, lock)| Entry::Record(lock.record(name, now)));
        Ok(Found::new(entries.collect(), last_of_full_page(&rows, page)))
    }

    async fn prune_page(
        &self,
        page: &Page<'_>,
        unused_for: Duration,
        dry_run: bool,
    ) -> Result<Found<LockName>> {
        let mut locks = self.tables.locks.lock();
        let now = now();
        let rows = rows(&locks, page);
        let next = last_of_full_page(&rows, page);
        let unused = rows.iter().filter(|(_, lock)| lock.is_unused(unused_for, now));
        let names: Vec<LockName> = unused.map(|(name, _)| (*name).clone()).collect();
        if !dry_run {
            for name in &names {
                locks.remove(name);
            }
        }
        Ok(Found::new(names, next))
    }

    async fn announce(&self, instance: Uuid, text: &str, ttl: Duration) -> Result<()> {
        let mut instances = self.tables.instances.lock();
        let now = now();
        instances.retain(|_, (_, expires_at)| now < *expires_at);
        instances.insert(instance, (text.to_owned(), now + micros(ttl)));
        Ok(())
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        self.tables.instances.lock().remove(&instance);
        Ok(())
    }

    async fn instances(&self) -> Result<Vec<StoredInstance>> {
        let mut instances = self.tables.instances.lock();
        let now = now();
        instances.retain(|_, (_, expires_at)| now < *expires_at);
        let stored = instances.iter().map(|(id, (text, expires_at))| {
            let left = Duration::from_micros(expires_at.saturating_sub(now));
            StoredInstance::new(id.to_string(), Ok(text.clone()), left)
        });
        Ok(stored.collect())
    }

    async fn watch_once(&self, hints: &Hints) -> Result<()> {
        let mut changes = self.tables.changes.subscribe();
        hints.listening();
        loop {
            match changes.recv().await {
                Ok(name) => hints.send(Hint::Name(name)),
                Err(RecvError::Lagged(_)) => hints.send(Hint::Anything),
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }
}

type Row<'a> = (&'a LockName, &'a StoredLock);

/// Returns the rows of a page. A datastore with an index starts at the first of them.
fn rows<'a>(locks: &'a BTreeMap<LockName, StoredLock>, page: &Page<'_>) -> Vec<Row<'a>> {
    let is_next = |name: &LockName| page.after.is_none_or(|after| name.as_str().as_bytes() > after);
    let rows = locks.iter().filter(|(name, _)| name.as_str().starts_with(page.prefix));
    rows.filter(|(name, _)| is_next(name)).take(page.limit).collect()
}

/// Returns the last name of a page that is full, after which there may be more.
fn last_of_full_page(rows: &[Row<'_>], page: &Page<'_>) -> Option<Vec<u8>> {
    let (name, _) = rows.last().filter(|_| rows.len() == page.limit)?;
    Some(name.as_str().as_bytes().to_vec())
}
