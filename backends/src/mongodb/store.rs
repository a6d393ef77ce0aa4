//! The store: each operation is one command on one document.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mongodb::Database;
use uuid::Uuid;

use super::clients::{Clients, CollectionNames};
use super::permits::PermitKind;
use super::pipeline::AcquireMarks;
use super::refused::RefusedNames;
use super::shared::MongoInner;
use super::{collection, config, pipeline, record, watch};
use crate::common::timeout::{read_timeout, write_timeout};
use crate::common::with_context;
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    Error, ErrorKind, Grant, Held, HintStream, InstanceRecord, LeaseId, LeaseRecord, ListOptions,
    LockName, LockRecord, LockStore, Namespace, OpenOptions, Presence, PruneOptions, Reach,
    ReleaseOutcome, RenewOptions, RenewOutcome, Result, StoreClock, Wake, check_ttl,
};

/// How often an acquire looks again at a name that changed between decision and answer.
const MAX_READS: u32 = 10;

/// For this long after a name was found disabled, attempts at it read it first.
const DISABLED_RECHECK: Duration = Duration::from_secs(60);

/// Locks in a MongoDB database; see the [module](super) for what they guarantee.
///
/// Clones share the same client and its connections.
#[derive(Clone)]
pub struct MongoStore {
    shared: Arc<MongoInner>,
}

impl MongoStore {
    /// Opens the database that the URL names, with a client of its own.
    ///
    /// The URL is one of MongoDB's, with the options that their driver knows. Its path names the database, which
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
            let config::OpenedUrl { options: client, database, label, sizes } =
                config::open(url, options.max_connections).await?;
            let clients = Clients::new(client, sizes, database, names(options));
            let opened = Self::build(clients, label.clone()).await;
            opened.map_err(|error| error.on_store(&label))
        };
        read_timeout(opening).await.map_err(|error| error.during("open"))
    }

    /// Builds the store on a database of a client that the application already has.
    ///
    /// Read and write concerns and the read preference of that client do not matter. Its server
    /// selection and connection timeouts do: a call that waits for them longer than 10 s reports
    /// an unknown outcome, though nothing was sent.
    ///
    /// Heartbeats depend on the runtime in which that client was created, since the driver serves its
    /// connections there: while all threads of that runtime compute or block, no lease is renewed. A
    /// store from [`connect`](Self::connect) has no such limit.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Opening writes nothing.
    pub async fn from_database(database: Database, options: &OpenOptions) -> Result<Self> {
        let label = format!("mongodb:{}", database.name());
        let with_context = with_context("open", &label, None);
        let clients = Clients::of_application(database, names(options));
        let opening = Self::build(clients, label.clone());
        read_timeout(opening).await.map_err(with_context)
    }

    /// Nothing is created here, whatever the options allow: the first write creates the collection,
    /// which takes no more than the right to write to it.
    async fn build(clients: Clients, label: String) -> Result<Self> {
        let at = clients.handles()?;
        let push = collection::check(&at.database, &clients.names().locks).await?;
        let shared = MongoInner { label, clients, push, refused: RefusedNames::default() };
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
        self.shared.locks()
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

/// Returns the names of the collections.
fn names(options: &OpenOptions) -> CollectionNames {
    CollectionNames {
        locks: collection::name(&options.namespace),
        instances: collection::of_instances(&options.namespace),
    }
}

impl MongoInner {
    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        if self.refused.is_expected(name)
            && let Some(record) = self.find(name).await?
            && let Some(refusal) = self.refusal(record, options.lease)?
        {
            return Ok(refusal);
        }
        let ttl = millis(options.ttl);
        let holder = serde_json::to_string(&options.holder)
            .map_err(|e| Error::invalid("the holder is no JSON").with_source(e))?;
        for _ in 0..MAX_READS {
            let marks = AcquireMarks {
                granted: LeaseId::new().to_string(),
                repeated: LeaseId::new().to_string(),
            };
            let change = pipeline::acquire(name, options.lease, &holder, ttl, &marks);
            let after = self.upsert(PermitKind::Other, name, change).await?;
            let by = after.get_str("call").unwrap_or_default();
            let (is_granted, is_repeated) = (by == marks.granted, by == marks.repeated);
            if is_granted {
                let damaged = |damage: record::CorruptDocument| damage.in_collection(self.locks());
                let token = record::token(&after).map_err(damaged)?;
                let token = token.ok_or_else(|| self.contradiction())?;
                self.refused.remove(name);
                return Ok(AcquireOutcome::Granted(Grant { token, left: duration(ttl) }));
            }
            let record = self.as_of_now(PermitKind::Other, &after).await?;
            if is_repeated {
                if let LockRecord { token: Some(token), lease: Some(lease), .. } = record {
                    self.refused.remove(name);
                    return Ok(AcquireOutcome::Granted(Grant { token, left: lease.left }));
                }
            } else if let Some(refusal) = self.refusal(record, options.lease)? {
                return Ok(refusal);
            }
            // The lease was in force when the attempt was decided, and expired a moment later.
        }
        Err(Error::new(ErrorKind::Unavailable, "the lock changed each time it was read")
            .with_fix("do too many clients want this lock at once?"))
    }

    /// Returns why an attempt with that lease is refused, or `None` if it must be sent: the name is
    /// free, or the lease has it already.
    fn refusal(&self, record: LockRecord, asks: LeaseId) -> Result<Option<AcquireOutcome>> {
        let LockRecord { name, token, lease, disabled, .. } = record;
        Ok(match (disabled, lease, token) {
            (Some(disabled), ..) => {
                self.refused.add(&name, DISABLED_RECHECK);
                Some(AcquireOutcome::Disabled(disabled))
            }
            (None, Some(_), None) => return Err(self.contradiction().for_lock(&name)),
            (None, Some(lease), Some(_)) if lease.id == asks => None,
            (None, Some(LeaseRecord { holder, left, .. }), Some(token)) => {
                self.refused.add(&name, left);
                Some(AcquireOutcome::Held(Held { holder, token, left }))
            }
            (None, None, _) => None,
        })
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let call = LeaseId::new().to_string();
        let change = pipeline::disable(name, options, &call);
        let after = self.upsert(PermitKind::Holder, name, change).await?;
        let by = after.get_document("disabled").and_then(|disabled| disabled.get_str("call"));
        if by.is_ok_and(|by| by == call) {
            return Ok(DisableOutcome::Disabled);
        }
        let standing = self.as_of_now(PermitKind::Holder, &after).await?.disabled;
        let standing = standing.ok_or_else(|| self.contradiction().for_lock(name))?;
        Ok(DisableOutcome::AlreadyDisabled(standing))
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
        let with_context = with_context("acquire", &self.shared.label, Some(name));
        check_ttl(options.ttl, &self.capabilities()).map_err(&with_context)?;
        write_timeout(self.shared.acquire(name, options)).await.map_err(with_context)
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        let with_context = with_context("renew", &self.shared.label, None);
        for lease in leases {
            check_ttl(lease.ttl, &self.capabilities())
                .map_err(|error| with_context(error.for_lock(&lease.name)))?;
        }
        let renewing = async {
            match leases {
                [] => Ok(Vec::new()),
                [one] => Ok(vec![self.shared.renew_one(one).await?]),
                many => self.shared.renew_batch(many).await,
            }
        };
        write_timeout(renewing).await.map_err(with_context)
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let releasing = async {
            let filter = pipeline::held_by(name, lease);
            if self.shared.update(filter, pipeline::release()).await?.is_some() {
                return Ok(ReleaseOutcome::Released);
            }
            self.shared.check_version(name).await.map(|()| ReleaseOutcome::NotHeld)
        };
        write_timeout(releasing).await.map_err(with_context(
            "release",
            &self.shared.label,
            Some(name),
        ))
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let done = write_timeout(self.shared.disable(name, options)).await;
        done.map_err(with_context("disable", &self.shared.label, Some(name)))
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let enabling = async {
            let filter = pipeline::disabled(name);
            if self.shared.update(filter, pipeline::enable()).await?.is_some() {
                return Ok(EnableOutcome::Enabled);
            }
            self.shared.check_version(name).await.map(|()| EnableOutcome::AlreadyEnabled)
        };
        write_timeout(enabling).await.map_err(with_context(
            "enable",
            &self.shared.label,
            Some(name),
        ))
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        let found = read_timeout(self.shared.get(name)).await;
        found.map_err(with_context("get", &self.shared.label, Some(name)))
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let found = read_timeout(self.shared.list(options)).await;
        found.map_err(with_context("list", &self.shared.label, None))
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        self.shared.prune(options).await.map_err(with_context("prune", &self.shared.label, None))
    }

    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        let with_context = with_context("announce", &self.shared.label, None);
        check_ttl(ttl, &self.capabilities()).map_err(&with_context)?;
        write_timeout(self.shared.announce(presence, millis(ttl))).await.map_err(with_context)
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        let withdrawn = write_timeout(self.shared.withdraw(instance)).await;
        withdrawn.map_err(with_context("withdraw", &self.shared.label, None))
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        let known = read_timeout(self.shared.known()).await;
        known.map_err(with_context("instances", &self.shared.label, None))
    }

    async fn watch(&self) -> Result<HintStream> {
        let hints = read_timeout(watch::hints(Arc::clone(&self.shared))).await;
        hints.map_err(with_context("watch", &self.shared.label, None))
    }
}

/// Rounded up to the clock's step.
pub(super) fn millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_micros().div_ceil(1000)).unwrap_or(i64::MAX)
}

pub(super) fn duration(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}
