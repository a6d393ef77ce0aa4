//! The operations. Each is one transaction. An acquire creates an etcd lease before it, unless one is
//! kept.

use std::fmt;
use std::time::Duration;

use etcd_client::ResponseHeader;
use uuid::Uuid;

use super::acquire::{DecidedAttempt, put_keys, time_left};
use super::client::{BoundedCall, EtcdClient, LeaseExpired};
use super::error_codes::contended;
use super::keys::Keys;
use super::lease_id::TTL_STEP;
use super::own_queues::OwnQueues;
use super::stored_lock::{self, StoredLock};
use super::times_left::TimesLeft;
use super::transaction::{self, first_key};
use super::{instances, list, prune, queue, record, renew, renew_entries, watch};
use crate::shell::{
    Attempt, Backend, Decision, Entry, Found, Hints, Operation, Page, RecentRefusals,
    StoredInstance, acquire_outcome,
};
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, Clock, DisableOptions, Disablement,
    EnableOutcome, EnterOptions, Grant, LeaseId, LockName, LockRecord, Reach, ReleaseOutcome,
    RenewOptions, RenewOutcome, Result, StoreClock, SystemClock, Wake,
};

/// At its default election timeout of a second, etcd grants no shorter lease.
const MIN_TTL: Duration = Duration::from_secs(2);

/// The backend of an [`EtcdStore`](super::EtcdStore).
pub struct Etcd {
    label: String,
    keys: Keys,
    client: EtcdClient,
    /// Attempts at these names read them first, since the grant of an etcd lease costs every member
    /// a write.
    refusals: RecentRefusals,
    queues: OwnQueues,
}

impl Etcd {
    pub(super) fn new(label: String, keys: Keys, client: EtcdClient) -> Self {
        let (refusals, queues) = (RecentRefusals::default(), OwnQueues::default());
        Self { label, keys, client, refusals, queues }
    }

    /// Returns the record that shows why the name cannot be granted to that lease; `None` if
    /// nothing is known that prevents the grant.
    async fn refusal(
        &self,
        call: &BoundedCall,
        name: &LockName,
        lease: LeaseId,
        mut stored_lock: StoredLock,
    ) -> Result<Option<LockRecord>> {
        if let Some(disabled) = stored_lock.disabled.take() {
            // The remaining time of a lease is not needed here, so etcd is not asked for it.
            return Ok(Some(disabled_record(name, disabled)));
        }
        // A queue refuses the attempt whatever time is left of its entries.
        let leases = stored_lock.lease.iter().map(|lease| lease.etcd_lease).collect();
        let times = TimesLeft::request(call, leases).await?;
        let record = stored_lock.into_record(&self.keys, name.clone(), Some(lease), &times)?;
        Ok(record.is_in_use().then_some(record))
    }

    /// Notes the refusal of the name. If the record shows the attempt's own lease, the store
    /// reports its grant.
    fn refused(&self, record: LockRecord, lease: LeaseId) -> Result<Decision<Grant>> {
        if let Some(outcome) = acquire_outcome(record.clone(), lease)? {
            self.refusals.note(&record.name, &outcome);
        }
        Ok(Decision::Refused(record))
    }

    /// Keeps or ends the etcd lease to which a key was attached before it was removed.
    fn released(&self, etcd_lease: i64) -> ReleaseOutcome {
        // An operator may have put the key manually, without an etcd lease.
        if etcd_lease != 0 {
            match self.client.leases().detach(etcd_lease) {
                Some(lease) => self.client.keep(lease),
                None => self.client.discard(etcd_lease),
            }
        }
        ReleaseOutcome::Released
    }
}

fn disabled_record(name: &LockName, disabled: Disablement) -> LockRecord {
    LockRecord::unused(name.clone()).with_disabled(disabled)
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd")
            .field("label", &self.label)
            .field("keys", &self.keys.root())
            .finish_non_exhaustive()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.client.revoke_kept();
    }
}

impl Backend for Etcd {
    fn label(&self) -> &str {
        &self.label
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(StoreClock::Server, Reach::Network, Wake::Push)
            .with_min_ttl(MIN_TTL)
            .with_ttl_step(TTL_STEP)
            .with_renew_batch(renew::BATCH)
            .with_queues()
    }

    async fn acquire(
        &self,
        name: &LockName,
        options: &AcquireOptions,
        attempt: Attempt,
    ) -> Result<Decision<Grant>> {
        let call = self.client.call_until(attempt.deadline);
        if attempt.number == 1 && self.refusals.is_expected(name) {
            let found = call.read_large_txn(transaction::read(&self.keys, name)).await?;
            let stored_lock = stored_lock::readable(&self.keys, &found, name)?;
            if let Some(record) = self.refusal(&call, name, options.lease, stored_lock).await? {
                return self.refused(record, options.lease);
            }
        }
        let decided = put_keys(&self.client, &call, &self.keys, name, options).await?;
        let Some(DecidedAttempt { response, lease, is_extended }) = decided else {
            return Ok(Decision::Changed);
        };
        if response.succeeded() {
            let left = if is_extended {
                Some(lease.left(SystemClock.now()))
            } else {
                time_left(&call, lease).await?
            };
            let Some(left) = left else { return Ok(Decision::Changed) };
            let token = record::token_of(response.header().map_or(0, ResponseHeader::revision))?;
            let grant = Grant::new(token, left);
            self.client.leases().attach(lease, SystemClock.now());
            self.refusals.note(name, &AcquireOutcome::Granted(grant));
            return Ok(Decision::Done(grant));
        }
        self.client.keep(lease);
        let stored_lock = stored_lock::readable(&self.keys, &response, name)?;
        match self.refusal(&call, name, options.lease, stored_lock).await? {
            Some(record) => self.refused(record, options.lease),
            None => Ok(Decision::Changed),
        }
    }

    async fn renew(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        Ok(renew::renew(&self.client, &self.keys, leases).await)
    }

    async fn enter(
        &self,
        name: &LockName,
        options: &EnterOptions,
        attempt: Attempt,
    ) -> Result<Option<LockRecord>> {
        let call = self.client.call_until(attempt.deadline);
        // The entry may be made although its outcome is unknown.
        self.queues.note(name, options.ttl);
        queue::enter(&self.client, &call, &self.keys, name, options).await
    }

    async fn leave(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let leave = transaction::remove(&self.keys.entry(name, lease));
        let done = self.client.call().write_txn(leave).await?;
        let done = done.map_err(|LeaseExpired| contended())?;
        Ok(match first_key(&done) {
            Some(entry) => self.released(entry.lease()),
            None => ReleaseOutcome::NotHeld,
        })
    }

    async fn renew_entries(&self, entries: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        entries.iter().for_each(|entry| self.queues.note(&entry.name, entry.ttl));
        Ok(renew_entries::renew_entries(&self.client, &self.keys, entries).await)
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        let release = transaction::release(&self.keys, name, lease);
        let done = self.client.call().write_txn(release).await?;
        let done = done.map_err(|LeaseExpired| contended())?;
        if !done.succeeded() {
            return Ok(ReleaseOutcome::NotHeld);
        }
        Ok(self.released(first_key(&done).map_or(0, |kv| kv.lease())))
    }

    async fn disable(
        &self,
        name: &LockName,
        options: &DisableOptions,
        attempt: Attempt,
    ) -> Result<Decision<()>> {
        let call = self.client.call_until(attempt.deadline);
        let found = call.read_txn(transaction::read_before_disable(&self.keys, name)).await?;
        let stored_lock = stored_lock::readable(&self.keys, &found, name)?;
        if let Some(disabled) = stored_lock.disabled {
            return Ok(Decision::Refused(disabled_record(name, disabled)));
        }
        let disable = transaction::disable(&self.keys, name, options, stored_lock.lease);
        let Ok(done) = call.write_txn(disable).await? else { return Ok(Decision::Changed) };
        if done.succeeded() {
            return Ok(Decision::Done(()));
        }
        let disabled = stored_lock::readable(&self.keys, &done, name)?.disabled;
        Ok(disabled.map_or(Decision::Changed, |disabled| {
            Decision::Refused(disabled_record(name, disabled))
        }))
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        let enable = transaction::enable(&self.keys, name);
        let done = self.client.call().write_txn(enable).await?;
        let done = done.map_err(|LeaseExpired| contended())?;
        Ok(if done.succeeded() { EnableOutcome::Enabled } else { EnableOutcome::AlreadyEnabled })
    }

    async fn read(&self, name: &LockName) -> Result<Option<Entry>> {
        list::read(&self.client, &self.keys, name).await
    }

    async fn page(&self, page: &Page<'_>) -> Result<Found<Entry>> {
        list::page(&self.client, &self.keys, page).await
    }

    async fn prune_page(
        &self,
        page: &Page<'_>,
        unused_for: Duration,
        dry_run: bool,
    ) -> Result<Found<LockName>> {
        prune::prune_page(&self.client, &self.keys, page, unused_for, dry_run).await
    }

    async fn announce(&self, instance: Uuid, text: &str, ttl: Duration) -> Result<()> {
        instances::announce(&self.client, &self.keys, instance, text, ttl).await
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        instances::withdraw(&self.client, &self.keys, instance).await
    }

    async fn instances(&self) -> Result<Vec<StoredInstance>> {
        instances::instances(&self.client, &self.keys).await
    }

    async fn watch_once(&self, hints: &Hints) -> Result<()> {
        watch::watch_once(&self.client, &self.keys, &self.refusals, &self.queues, hints).await
    }

    /// The client limits its calls itself, since it knows what was sent.
    fn call_limit(&self, _: Operation) -> Option<Duration> {
        None
    }
}
