//! Renews leases: reads the keys of the whole batch at once, then keeps the leases in force alive.

use std::collections::HashMap;

use etcd_client::{KeyValue, TxnOpResponse};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::client::{BoundedCall, EtcdClient, LeaseExpired};
use super::error_codes::contended;
use super::keys::Keys;
use super::lease_id::{seconds, seconds_of, whole_seconds};
use super::record::{self, StoredLease};
use super::transaction;
use crate::{LockName, Reason, RenewOptions, RenewOutcome, Result};

/// A transaction has at most this many names. It reads two keys of each, and by default etcd allows
/// 128 operations.
pub(super) const BATCH: usize = 60;

/// A change of the ttl is tried this many times if others change the same keys.
const TRIES: usize = 4;

/// The stored state of the lease of one name.
#[derive(Clone, Debug)]
struct LeaseState {
    lease: StoredLease,
    ending: Option<Reason>,
}

/// Renews each lease separately, so that the failure of a key or a member concerns only its leases.
pub(super) async fn renew(
    client: &EtcdClient,
    keys: &Keys,
    leases: &[&RenewOptions],
) -> Vec<Result<RenewOutcome>> {
    let call = client.call();
    let renewal = Renewal { client, keys, call: &call };
    // The leases are in the order of their names.
    let mut names: Vec<&LockName> = leases.iter().map(|lease| &lease.name).collect();
    names.dedup();
    let reads = names.chunks(BATCH).map(|names| renewal.read_leases(names));
    let found: HashMap<&LockName, Result<Option<LeaseState>>> =
        join_all(reads).await.into_iter().flatten().collect();
    let renewals = leases.iter().map(|lease| renewal.renew(lease, found.get(&lease.name)));
    join_all(renewals).await
}

/// The values that all renewals of a batch share.
struct Renewal<'a> {
    client: &'a EtcdClient,
    keys: &'a Keys,
    call: &'a BoundedCall,
}

impl Renewal<'_> {
    async fn renew(
        &self,
        RenewOptions { name, lease, ttl, .. }: &RenewOptions,
        found: Option<&Result<Option<LeaseState>>>,
    ) -> Result<RenewOutcome> {
        let state = match found {
            Some(Ok(Some(state))) if state.lease.id == *lease => state,
            Some(Err(error)) => return Err(error.clone()),
            _ => return Ok(RenewOutcome::Lost),
        };
        if let Some(reason) = &state.ending {
            return self.disabled(state.lease, reason.clone()).await;
        }
        let seconds = seconds(*ttl);
        if seconds_of(state.lease.etcd_lease) != seconds {
            return self.change_ttl(name, state.lease, seconds).await;
        }
        let etcd_lease = state.lease.etcd_lease;
        Ok(match self.call.keep_alive(etcd_lease).await? {
            Ok(before) => {
                self.client.leases().extended(etcd_lease, self.call.requested_at(before));
                RenewOutcome::extended(whole_seconds(seconds).saturating_sub(before))
            }
            Err(LeaseExpired) => RenewOutcome::Lost,
        })
    }

    async fn disabled(&self, lease: StoredLease, reason: Reason) -> Result<RenewOutcome> {
        Ok(match self.call.time_to_live(lease.etcd_lease).await? {
            Some(left) => RenewOutcome::disabled(reason, left.for_holder),
            None => RenewOutcome::Lost,
        })
    }

    /// Extends a lease with a different ttl. etcd cannot change the ttl of a lease, so its keys
    /// move to a new etcd lease, if they have not changed since they were read.
    async fn change_ttl(
        &self,
        name: &LockName,
        mut lease: StoredLease,
        seconds: i64,
    ) -> Result<RenewOutcome> {
        for _ in 0..TRIES {
            let sent_at = Instant::now();
            let (new, granted) = self.call.grant(seconds).await?;
            let txn = transaction::move_lease(self.keys, name, lease, new);
            let moved = self.call.write_txn(txn).await?;
            if moved.is_ok_and(|moved| moved.succeeded()) {
                self.client.discard(lease.etcd_lease);
                let left = granted.saturating_sub(sent_at.elapsed());
                return Ok(RenewOutcome::extended(left));
            }
            self.client.discard(new);
            let Some((_, found)) = self.read_leases(&[name]).await.pop() else { break };
            match found? {
                Some(found) if found.lease.id == lease.id => match found.ending {
                    Some(reason) => return self.disabled(found.lease, reason).await,
                    None => lease = found.lease,
                },
                _ => return Ok(RenewOutcome::Lost),
            }
        }
        Err(contended())
    }

    /// Returns the lease of each name, all as of the same time; `None` for a name that is not held.
    async fn read_leases<'n>(
        &self,
        names: &[&'n LockName],
    ) -> Vec<(&'n LockName, Result<Option<LeaseState>>)> {
        let read = transaction::read_leases(self.keys, names);
        let answers = match self.call.read_large_txn(read).await {
            Ok(answers) => answers.op_responses(),
            Err(error) => return names.iter().map(|name| (*name, Err(error.clone()))).collect(),
        };
        let mut pairs = answers.chunks(2);
        names.iter().map(|name| (*name, state(pairs.next()).transpose())).collect()
    }
}

/// Reads the key of a lease, and the key with the reason why its holder must stop. Returns `None`
/// if there is no lease.
fn state(pair: Option<&[TxnOpResponse]>) -> Option<Result<LeaseState>> {
    let (lease, ending) = (first_kv(pair?.first()), first_kv(pair?.get(1)));
    let ending = ending.map(record::ending).transpose();
    let lease = record::lease(lease?);
    Some(lease.and_then(|lease| Ok(LeaseState { lease, ending: ending? })))
}

fn first_kv(answer: Option<&TxnOpResponse>) -> Option<&KeyValue> {
    match answer {
        Some(TxnOpResponse::Get(got)) => got.kvs().first(),
        _ => None,
    }
}
