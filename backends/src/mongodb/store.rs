//! The store: each operation is one command on one document.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mongodb::Database;
use mongodb::bson::{Document, doc};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::shared::{self, Shared};
use super::{collection, config, pipeline, record, watch};
use crate::common::{about, limit};
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    Error, ErrorKind, Grant, Held, HintStream, InstanceRecord, LeaseId, LeaseRecord, ListOptions,
    LockName, LockRecord, LockStore, Namespace, OpenOptions, Presence, Reach, ReleaseOutcome,
    RenewOptions, RenewOutcome, Result, StoreClock, Wake, check_ttl,
};

/// How often an acquire looks again at a name that changed between decision and answer.
const LOOKS: u32 = 4;

/// Locks in a MongoDB database; see the [module](super) for what they guarantee.
///
/// Clones share the same client and its connections.
#[derive(Clone)]
pub struct MongoStore {
    shared: Arc<Shared>,
}

impl MongoStore {
    /// Opens the database that the URL names, with a client of its own.
    ///
    /// The URL is one of MongoDB's, with any of their options. Its path names the database, which
    /// also is where its user is looked up, unless `authSource` names another.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a URL that is none or names no database;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when no server that takes writes answers;
    /// [`Denied`](crate::ErrorKind::Denied) for a wrong password or a missing right;
    /// [`Corrupt`](crate::ErrorKind::Corrupt) for a collection that is not Leasehold's, which is left
    /// as it is.
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn connect(url: &str, options: &OpenOptions) -> Result<Self> {
        let opening = async {
            let (database, label) = config::client(url).await?;
            let opened = Self::build(database, label.clone(), options).await;
            opened.map_err(|error| error.on_store(&label))
        };
        limit::reading(opening).await.map_err(|error| error.during("open"))
    }

    /// Builds the store on a database of a client that the application already has.
    ///
    /// Read and write concerns and the read preference of that client do not matter. Its server
    /// selection and connection timeouts do: a call that waits for them longer than 10 s reports
    /// an unknown outcome, though nothing was sent.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn from_database(database: Database, options: &OpenOptions) -> Result<Self> {
        let label = format!("mongodb:{}", database.name());
        let about = about("open", &label, None);
        limit::reading(Self::build(database, label.clone(), options)).await.map_err(about)
    }

    /// Nothing is created here, whatever the options allow: the first write creates the collection,
    /// which takes no more than the right to write to it.
    async fn build(database: Database, label: String, options: &OpenOptions) -> Result<Self> {
        let name = collection::name(&options.namespace);
        let push = collection::check(&database, &name).await?;
        let collection = shared::collection(&database, &name);
        let name = collection::of_instances(&options.namespace);
        let instances = shared::collection(&database, &name);
        let turns = Semaphore::new(shared::AT_ONCE as usize);
        let shared = Shared { label, database, collection, instances, push, turns };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The statements that create the schema of that namespace: none, since MongoDB creates a
    /// collection with its first document.
    #[must_use]
    pub fn schema(_namespace: &Namespace) -> String {
        String::new()
    }

    /// The collection of locks. An application may read the fields `_id`, which is the lock's name,
    /// and `token`, which stay.
    #[must_use]
    pub fn collection(&self) -> &str {
        self.shared.collection.name()
    }
}

impl fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoStore")
            .field("label", &self.shared.label)
            .field("collection", &self.collection())
            .finish_non_exhaustive()
    }
}

impl Shared {
    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let ttl = millis(options.ttl);
        let holder = serde_json::to_string(&options.holder)
            .map_err(|e| Error::invalid("the holder is no JSON").with_source(e))?;
        for _ in 0..LOOKS {
            let call = Uuid::now_v7().to_string();
            let change = pipeline::acquire(name, options.lease, &holder, ttl, &call);
            let after = self.upsert(name, change).await?;
            if after.get_str("call").is_ok_and(|by| by == call) && !after.contains_key("disabled") {
                let damaged = |damage: record::Damage| damage.in_collection(self.collection.name());
                let token = record::token(&after).map_err(damaged)?;
                let token = token.ok_or_else(|| self.contradiction())?;
                return Ok(AcquireOutcome::Granted(Grant { token, left: duration(ttl) }));
            }
            let LockRecord { token, lease, disabled, .. } = self.as_of_now(&after).await?;
            match (disabled, lease, token) {
                (Some(disabled), ..) => return Ok(AcquireOutcome::Disabled(disabled)),
                (None, Some(lease), Some(token)) if lease.id == options.lease => {
                    return Ok(AcquireOutcome::Granted(Grant { token, left: lease.left }));
                }
                (None, Some(LeaseRecord { holder, left, .. }), Some(token)) => {
                    return Ok(AcquireOutcome::Held(Held { holder, token, left }));
                }
                // Held when it was decided, and over a moment later.
                (None, None, Some(_)) => {}
                (None, ..) => return Err(self.contradiction().for_lock(name)),
            }
        }
        Err(self.contradiction().for_lock(name))
    }

    async fn renew_one(&self, renewal: &RenewOptions) -> Result<RenewOutcome> {
        let RenewOptions { name, lease, ttl } = renewal;
        let ttl = millis(*ttl);
        let filter = pipeline::renewable(name, *lease);
        if self.update(filter, pipeline::renew(ttl)).await?.is_some() {
            return Ok(RenewOutcome::Extended { left: duration(ttl) });
        }
        let found = self.read(pipeline::read(pipeline::named(name)), 1).await?;
        // In force and not told to end, it would have been extended.
        Ok(match self.renewals(&found).remove(&(name.clone(), *lease)) {
            Some(told @ RenewOutcome::Disabled { .. }) => told,
            _ => RenewOutcome::Lost,
        })
    }

    async fn renew_batch(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        // Of a lease that is in it twice, the last ttl counts, and each answer tells of that.
        let last: HashMap<_, _> =
            leases.iter().map(|l| ((&l.name, l.lease), millis(l.ttl))).collect();
        let updates = last.iter().map(|((name, lease), ttl)| {
            doc! { "q": pipeline::renewable(name, *lease), "u": pipeline::renew(*ttl) }
        });
        self.update_many(updates.collect()).await?;
        // What stands there now is what became of it, whoever wrote it: extended if it is in force
        // and not told to end.
        let names: Vec<_> = last.keys().map(|(name, _)| name.as_str()).collect();
        let matching = doc! { "_id": { "$in": names } };
        let found = self.read(pipeline::read(matching), leases.len()).await.map_err(|error| {
            let message = "leases were renewed, but it could not be read which";
            Error::new(ErrorKind::OutcomeUnknown, message).with_source(error)
        })?;
        let renewals = self.renewals(&found);
        let answer = |l: &RenewOptions| {
            renewals.get(&(l.name.clone(), l.lease)).cloned().unwrap_or(RenewOutcome::Lost)
        };
        Ok(leases.iter().map(answer).collect())
    }

    /// What the leases in force can be told. A damaged document must not cost the others their
    /// leases: its own is as good as lost.
    fn renewals(&self, found: &[Document]) -> HashMap<(LockName, LeaseId), RenewOutcome> {
        let renewal = |document| match self.with_time(document) {
            Ok(LockRecord { name, lease, .. }) => {
                lease.map(|LeaseRecord { id, left, ending, .. }| {
                    let outcome = match ending {
                        Some(reason) => RenewOutcome::Disabled { reason, left },
                        None => RenewOutcome::Extended { left },
                    };
                    ((name, id), outcome)
                })
            }
            Err(error) => {
                tracing::error!(%error, "a lease cannot be renewed");
                None
            }
        };
        found.iter().filter_map(renewal).collect()
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let call = Uuid::now_v7().to_string();
        let after = self.upsert(name, pipeline::disable(name, options, &call)).await?;
        let by = after.get_document("disabled").and_then(|disabled| disabled.get_str("call"));
        if by.is_ok_and(|by| by == call) {
            return Ok(DisableOutcome::Disabled);
        }
        let standing = self.as_of_now(&after).await?.disabled;
        let standing = standing.ok_or_else(|| self.contradiction().for_lock(name))?;
        Ok(DisableOutcome::AlreadyDisabled(standing))
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let after = options.after.as_ref().map(LockName::as_str);
        let limit = i64::try_from(options.limit).unwrap_or(i64::MAX);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let found = self.read(pipeline::list(&options.prefix, after, limit), options.limit).await?;
        // Names of one prefix stand together, so the others are at the end.
        let of_prefix = |document: &&Document| {
            document.get_str("_id").is_ok_and(|name| name.starts_with(&options.prefix))
        };
        found.iter().take_while(of_prefix).map(|document| self.with_time(document)).collect()
    }
}

#[async_trait]
impl LockStore for MongoStore {
    fn label(&self) -> &str {
        &self.shared.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            min_ttl: Duration::from_millis(50),
            ttl_step: Duration::from_millis(1),
            clock: StoreClock::Server,
            reach: Reach::Network,
            wake: if self.shared.push { Wake::Push } else { Wake::Poll(watch::INTERVAL) },
            renew_batch: 500,
        }
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let about = about("acquire", &self.shared.label, Some(name));
        check_ttl(options.ttl, &self.capabilities()).map_err(&about)?;
        limit::writing(self.shared.acquire(name, options)).await.map_err(about)
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        let about = about("renew", &self.shared.label, None);
        for lease in leases {
            check_ttl(lease.ttl, &self.capabilities())
                .map_err(|error| about(error.for_lock(&lease.name)))?;
        }
        let renewing = async {
            match leases {
                [] => Ok(Vec::new()),
                [one] => Ok(vec![self.shared.renew_one(one).await?]),
                many => self.shared.renew_batch(many).await,
            }
        };
        limit::writing(renewing).await.map_err(about)
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let change = self.shared.update(pipeline::held_by(name, lease), pipeline::release());
        let found = limit::writing(change).await;
        let found = found.map_err(about("release", &self.shared.label, Some(name)))?;
        Ok(found.map_or(ReleaseOutcome::NotHeld, |_| ReleaseOutcome::Released))
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let done = limit::writing(self.shared.disable(name, options)).await;
        done.map_err(about("disable", &self.shared.label, Some(name)))
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let change = self.shared.update(pipeline::disabled(name), pipeline::enable());
        let found = limit::writing(change).await;
        let found = found.map_err(about("enable", &self.shared.label, Some(name)))?;
        Ok(found.map_or(EnableOutcome::AlreadyEnabled, |_| EnableOutcome::Enabled))
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let found = limit::reading(self.shared.find(name)).await;
        found.map_err(about("get", &self.shared.label, Some(name)))
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let found = limit::reading(self.shared.list(options)).await;
        found.map_err(about("list", &self.shared.label, None))
    }

    async fn prune(&self, _options: &crate::PruneOptions) -> Result<Vec<LockName>> {
        Err(crate::Error::new(crate::ErrorKind::Unsupported, "this store cannot prune yet"))
    }

    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        let about = about("announce", &self.shared.label, None);
        check_ttl(ttl, &self.capabilities()).map_err(&about)?;
        limit::writing(self.shared.announce(presence, millis(ttl))).await.map_err(about)
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        let withdrawn = limit::writing(self.shared.withdraw(instance)).await;
        withdrawn.map_err(about("withdraw", &self.shared.label, None))
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        let known = limit::reading(self.shared.known()).await;
        known.map_err(about("instances", &self.shared.label, None))
    }

    async fn watch(&self) -> Result<HintStream> {
        let hints = limit::reading(watch::hints(Arc::clone(&self.shared))).await;
        hints.map_err(about("watch", &self.shared.label, None))
    }
}

/// Rounded up to the clock's step.
fn millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_micros().div_ceil(1000)).unwrap_or(i64::MAX)
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}
