//! The store: each operation is one transaction, and an acquire a grant before it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Client, Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp, TxnOpResponse};
use tokio::time::Instant;
use uuid::Uuid;

use super::client::{BoundedCall, EtcdClient, LeaseExpired};
use super::config::EtcdUrl;
use super::keys::{Family, Keys};
use super::lease_id::{TTL_STEP, seconds};
use super::members::Members;
use super::record::{self, StoredLock};
use super::shared::EtcdInner;
use super::{instances, prune, renew, version, watch};
use crate::common::with_context;
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    Grant, Held, HintStream, InstanceRecord, LeaseId, ListOptions, LockName, LockRecord, LockStore,
    Namespace, OpenOptions, Presence, PruneOptions, Reach, ReleaseOutcome, RenewOptions,
    RenewOutcome, Result, StoreClock, Wake, check_ttl,
};

/// etcd grants nothing shorter at its default election timeout of a second.
const MIN_TTL: Duration = Duration::from_secs(2);

/// How often a disable is tried while others change the same keys.
const TRIES: usize = 32;

/// Locks in etcd; see the [module](super) for what they guarantee.
///
/// Clones share the same connections.
#[derive(Clone)]
pub struct EtcdStore {
    shared: Arc<EtcdInner>,
}

impl EtcdStore {
    /// Connects to the members that the URL names.
    ///
    /// [`OpenOptions::schema`] changes nothing: etcd has no schema.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a URL that is none;
    /// [`Denied`](crate::ErrorKind::Denied) for a wrong password or a missing right;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when no member answers.
    ///
    /// # Cancel safety
    /// Nothing is left of a dropped call.
    pub async fn connect(url: &str, options: &OpenOptions) -> Result<Self> {
        let location = EtcdUrl::from_url(url)?;
        let open = async {
            let members = location.members()?;
            Self::build(members, &location.path, location.label(), options).await
        };
        open.await.map_err(with_context("open", &location.label(), None))
    }

    /// Builds the store on a client that the application already has.
    ///
    /// Its settings are left as they are. For the store to recover from cut connections by itself,
    /// give it `with_keep_alive` and, with a user, `with_auto_token_refresh`; and
    /// `with_require_leader`, so that a watch notices a member without a leader.
    ///
    /// Heartbeats depend on the runtime in which that client was created, since it serves its
    /// connections there: while all threads of that runtime compute or block, no lease is renewed. A
    /// store from [`connect`](Self::connect) has no such limit.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Nothing is left of a dropped call.
    pub async fn from_client(client: Client, options: &OpenOptions) -> Result<Self> {
        Self::build(Members::of_application(client), "", "etcd".to_owned(), options)
            .await
            .map_err(with_context("open", "etcd", None))
    }

    async fn build(
        members: Members,
        path: &str,
        label: String,
        options: &OpenOptions,
    ) -> Result<Self> {
        let keys = Keys::new(path, &options.namespace);
        let shared = EtcdInner::new(label, keys, EtcdClient::new(members));
        // Whether it is etcd that answers, and lets this user in.
        let range = GetOptions::new().with_prefix().with_limit(1).with_keys_only();
        let look = Txn::new().and_then([TxnOp::get(shared.keys.root(), Some(range))]);
        let (call, members) = (shared.etcd.call(), shared.etcd.members());
        let (found, statuses) = tokio::join!(call.read_txn(look), members.locate());
        found?;
        let versions = statuses.iter().map(|said| (members.address(said), said.version.as_str()));
        version::warn_of_old(&shared.label, versions);
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Empty: etcd needs no schema.
    ///
    /// # Errors
    /// None.
    pub fn schema(_: &Namespace) -> Result<String> {
        Ok(String::new())
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore").field("label", &self.shared.label).finish_non_exhaustive()
    }
}

impl EtcdInner {
    /// Why the name cannot be granted to that lease id; none when it can, as far as is known.
    async fn refusal(
        &self,
        call: &BoundedCall,
        name: &LockName,
        asks: LeaseId,
        stored_lock: StoredLock,
    ) -> Result<Option<AcquireOutcome>> {
        if let Some(disabled) = stored_lock.disabled {
            return Ok(Some(AcquireOutcome::Disabled(disabled)));
        }
        let Some(lease) = stored_lock.lease else { return Ok(None) };
        let Some(token) = stored_lock.token else { return Err(self.contradiction(name)) };
        // None: it ended just now, so that the name can be had.
        let Some(left) = call.time_to_live(lease.etcd_lease).await? else { return Ok(None) };
        if lease.id == asks {
            return Ok(Some(AcquireOutcome::Granted(Grant { token, left: left.for_holder })));
        }
        let Some((holder, _)) = stored_lock.holder else { return Err(self.contradiction(name)) };
        let left = left.for_waiters;
        Ok(Some(AcquireOutcome::Held(Held { holder, token, left })))
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let call = self.etcd.call();
        if self.is_refused(name) {
            let stored_lock = self
                .stored_lock(&call.read_txn(Txn::new().and_then(self.reads(name))).await?, name)?;
            if let Some(refusal) = self.refusal(&call, name, options.lease, stored_lock).await? {
                return Ok(refusal);
            }
        }
        let value = options.lease.to_string();
        let holder = record::holder_value(&options.holder);
        let granted = record::granted_value();
        for _ in 0..TRIES {
            // The lease runs from the grant on, so what is left of it is counted from before that.
            let asked = Instant::now();
            let (lease, ttl) = call.grant(seconds(options.ttl)).await?;
            let attached = || Some(PutOptions::new().with_lease(lease));
            let key = |family| self.keys.key(family, name);
            let txn = Txn::new()
                .when([
                    Compare::create_revision(key(Family::Lease), CompareOp::Equal, 0),
                    Compare::create_revision(key(Family::Disabled), CompareOp::Equal, 0),
                ])
                .and_then([
                    TxnOp::put(key(Family::Lease), value.clone(), attached()),
                    TxnOp::put(key(Family::Holder), holder.clone(), attached()),
                    TxnOp::put(key(Family::Granted), granted.clone(), None),
                ])
                .or_else(self.reads(name));
            let Ok(done) = call.write_txn(txn).await? else { continue };
            if done.succeeded() {
                self.remember_refusal(name, false);
                let revision = done.header().map_or(0, etcd_client::ResponseHeader::revision);
                let left = ttl.saturating_sub(asked.elapsed());
                return Ok(AcquireOutcome::Granted(Grant {
                    token: record::token_of(revision)?,
                    left,
                }));
            }
            self.etcd.discard(lease);
            let stored_lock = self.stored_lock(&done, name)?;
            if let Some(refusal) = self.refusal(&call, name, options.lease, stored_lock).await? {
                self.remember_refusal(name, true);
                return Ok(refusal);
            }
        }
        Err(self.busy())
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let key = |family| self.keys.key(family, name);
        let txn = Txn::new()
            .when([Compare::value(key(Family::Lease), CompareOp::Equal, lease.to_string())])
            .and_then([
                TxnOp::get(key(Family::Lease), None),
                TxnOp::delete(key(Family::Lease), None),
                TxnOp::delete(key(Family::Holder), None),
                TxnOp::delete(key(Family::Ending), None),
            ]);
        let done = self.etcd.call().write_txn(txn).await?.map_err(|LeaseExpired| self.busy())?;
        if !done.succeeded() {
            return Ok(ReleaseOutcome::NotHeld);
        }
        if let Some(TxnOpResponse::Get(got)) = done.op_responses().first() {
            // Not what an operator may have put there by hand, which is attached to nothing.
            let attached =
                got.kvs().first().map(etcd_client::KeyValue::lease).filter(|id| *id != 0);
            attached.into_iter().for_each(|lease| self.etcd.discard(lease));
        }
        Ok(ReleaseOutcome::Released)
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let call = self.etcd.call();
        let key = |family| self.keys.key(family, name);
        let reads =
            || vec![TxnOp::get(key(Family::Disabled), None), TxnOp::get(key(Family::Lease), None)];
        let mut seen = call.read_txn(Txn::new().and_then(reads())).await?;
        for _ in 0..TRIES {
            let StoredLock { disabled, lease, .. } = self.stored_lock(&seen, name)?;
            if let Some(disabled) = disabled {
                return Ok(DisableOutcome::AlreadyDisabled(disabled));
            }
            let mut puts =
                vec![TxnOp::put(key(Family::Disabled), record::disabled_value(options), None)];
            puts.extend(lease.map(|lease| {
                let attached = PutOptions::new().with_lease(lease.etcd_lease);
                TxnOp::put(key(Family::Ending), options.reason.as_str(), Some(attached))
            }));
            let revision = lease.map_or(0, |lease| lease.revision);
            let txn = Txn::new()
                .when([
                    Compare::create_revision(key(Family::Disabled), CompareOp::Equal, 0),
                    Compare::mod_revision(key(Family::Lease), CompareOp::Equal, revision),
                ])
                .and_then(puts)
                .or_else(reads());
            seen = match call.write_txn(txn).await? {
                Ok(done) if done.succeeded() => return Ok(DisableOutcome::Disabled),
                Ok(done) => done,
                Err(LeaseExpired) => call.read_txn(Txn::new().and_then(reads())).await?,
            };
        }
        Err(self.busy())
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let key = self.keys.key(Family::Disabled, name);
        let txn = Txn::new()
            .when([Compare::create_revision(key.clone(), CompareOp::Greater, 0)])
            .and_then([TxnOp::delete(key, None)]);
        let done = self.etcd.call().write_txn(txn).await?.map_err(|LeaseExpired| self.busy())?;
        Ok(if done.succeeded() { EnableOutcome::Enabled } else { EnableOutcome::AlreadyEnabled })
    }
}

#[async_trait]
impl LockStore for EtcdStore {
    fn label(&self) -> &str {
        &self.shared.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            min_ttl: MIN_TTL,
            ttl_step: TTL_STEP,
            clock: StoreClock::Server,
            reach: Reach::Network,
            wake: Wake::Push,
            renew_batch: renew::BATCH,
        }
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let with_context = self.shared.with_context("acquire", Some(name));
        check_ttl(options.ttl, &self.capabilities()).map_err(&with_context)?;
        self.shared.acquire(name, options).await.map_err(with_context)
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        let with_context = self.shared.with_context("renew", None);
        for lease in leases {
            check_ttl(lease.ttl, &self.capabilities())
                .map_err(|error| with_context(error.for_lock(&lease.name)))?;
        }
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        renew::renew(&self.shared, leases).await.map_err(with_context)
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let with_context = self.shared.with_context("release", Some(name));
        self.shared.release(name, lease).await.map_err(with_context)
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        let with_context = self.shared.with_context("disable", Some(name));
        self.shared.disable(name, options).await.map_err(with_context)
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        self.shared.enable(name).await.map_err(self.shared.with_context("enable", Some(name)))
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        self.shared.get(name).await.map_err(self.shared.with_context("get", Some(name)))
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        self.shared.list(options).await.map_err(self.shared.with_context("list", None))
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        prune::prune(&self.shared, options).await.map_err(self.shared.with_context("prune", None))
    }

    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        let with_context = self.shared.with_context("announce", None);
        check_ttl(ttl, &self.capabilities()).map_err(&with_context)?;
        instances::announce(&self.shared, presence, ttl).await.map_err(with_context)
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        let withdrawn = instances::withdraw(&self.shared, instance).await;
        withdrawn.map_err(self.shared.with_context("withdraw", None))
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        let known = instances::known(&self.shared).await;
        known.map_err(self.shared.with_context("instances", None))
    }

    async fn watch(&self) -> Result<HintStream> {
        let EtcdInner { etcd, keys, label, .. } = &*self.shared;
        let hints = watch::hints(etcd.clone(), keys.clone(), label.clone());
        hints.await.map_err(self.shared.with_context("watch", None))
    }
}
