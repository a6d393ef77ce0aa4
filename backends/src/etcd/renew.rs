//! Renewals: what stands of the whole batch is read at once, then those in force are kept alive.

use std::collections::HashMap;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp, TxnOpResponse};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::client::{BoundedCall, LeaseExpired};
use super::keys::Family;
use super::lease_id::{seconds, seconds_of, whole_seconds};
use super::record::{self, StoredLease};
use super::shared::EtcdInner;
use crate::{ErrorKind, LeaseId, LockName, Reason, RenewOptions, RenewOutcome, Result};

/// The most names in one transaction, which reads two keys of each; by default etcd allows 128
/// operations.
pub(super) const BATCH: usize = 60;

/// How often a change of the ttl is tried while others change the same keys.
const TRIES: usize = 4;

/// What stands of one name in a batch.
#[derive(Clone, Debug)]
struct LeaseState {
    lease: StoredLease,
    ending: Option<Reason>,
}

/// Renews each lease on its own: the outcome of a lease whose key or member fails is unknown.
///
/// # Errors
/// Returns the first failure if the outcome of every lease is unknown.
pub(super) async fn renew(
    shared: &EtcdInner,
    leases: &[RenewOptions],
) -> Result<Vec<RenewOutcome>> {
    let call = shared.etcd.call();
    // Of a lease that is in it twice, the last ttl counts, and each answer tells of that.
    let asked: HashMap<(&LockName, LeaseId), Duration> =
        leases.iter().map(|l| ((&l.name, l.lease), l.ttl)).collect();
    let mut names: Vec<&LockName> = asked.keys().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let looks = names.chunks(BATCH).map(|names| read_leases(shared, &call, names));
    let found: HashMap<&LockName, Result<Option<LeaseState>>> =
        join_all(looks).await.into_iter().flatten().collect();
    let renewals = asked.iter().map(|((name, lease), ttl)| {
        let (call, found) = (&call, found.get(*name));
        async move {
            let outcome = match found {
                Some(Ok(Some(found))) if found.lease.id == *lease => {
                    renew_one(shared, call, name, found, *ttl).await
                }
                Some(Err(error)) => Err(error.clone()),
                _ => Ok(RenewOutcome::Lost),
            };
            ((*name, *lease), outcome)
        }
    });
    let outcomes: HashMap<_, _> = join_all(renewals).await.into_iter().collect();
    let mut answers = Vec::with_capacity(leases.len());
    let mut failed = None;
    for RenewOptions { name, lease, .. } in leases {
        answers.push(match outcomes.get(&(name, *lease)) {
            Some(Ok(outcome)) => outcome.clone(),
            Some(Err(error)) => {
                if error.kind() == ErrorKind::Corrupt {
                    let error = error.clone().for_lock(name).on_store(&shared.label);
                    tracing::error!(%error, "a lease cannot be renewed");
                } else {
                    failed.get_or_insert(error);
                }
                RenewOutcome::Unknown { why: error.to_string() }
            }
            None => RenewOutcome::Lost,
        });
    }
    match failed {
        Some(error) if answers.iter().all(|it| matches!(it, RenewOutcome::Unknown { .. })) => {
            Err(error.clone())
        }
        _ => Ok(answers),
    }
}

async fn renew_one(
    shared: &EtcdInner,
    call: &BoundedCall,
    name: &LockName,
    found: &LeaseState,
    ttl: Duration,
) -> Result<RenewOutcome> {
    if let Some(reason) = &found.ending {
        return disabled_reply(call, found.lease, reason.clone()).await;
    }
    let seconds = seconds(ttl);
    if seconds_of(found.lease.etcd_lease) == seconds {
        return Ok(match call.keep_alive(found.lease.etcd_lease).await? {
            Ok(before) => {
                RenewOutcome::Extended { left: whole_seconds(seconds).saturating_sub(before) }
            }
            Err(LeaseExpired) => RenewOutcome::Lost,
        });
    }
    change(shared, call, name, found.lease, seconds).await
}

async fn disabled_reply(
    call: &BoundedCall,
    lease: StoredLease,
    reason: Reason,
) -> Result<RenewOutcome> {
    Ok(match call.time_to_live(lease.etcd_lease).await? {
        Some(left) => RenewOutcome::Disabled { reason, left: left.for_holder },
        None => RenewOutcome::Lost,
    })
}

/// Extends a lease by another ttl than it has: etcd knows no such thing, so its keys move to a new
/// etcd lease, if they stand as they were found.
async fn change(
    shared: &EtcdInner,
    call: &BoundedCall,
    name: &LockName,
    mut lease: StoredLease,
    seconds: i64,
) -> Result<RenewOutcome> {
    let key = |family| shared.keys.key(family, name);
    for _ in 0..TRIES {
        let asked = Instant::now();
        let (new, granted) = call.grant(seconds).await?;
        let keep = || Some(PutOptions::new().with_lease(new).with_ignore_value());
        let txn = Txn::new()
            .when([
                Compare::mod_revision(key(Family::Lease), CompareOp::Equal, lease.revision),
                Compare::create_revision(key(Family::Ending), CompareOp::Equal, 0),
            ])
            .and_then([
                TxnOp::put(key(Family::Lease), "", keep()),
                TxnOp::put(key(Family::Holder), "", keep()),
            ]);
        let moved = call.write_txn(txn).await?;
        if moved.is_ok_and(|moved| moved.succeeded()) {
            shared.etcd.discard(lease.etcd_lease);
            return Ok(RenewOutcome::Extended { left: granted.saturating_sub(asked.elapsed()) });
        }
        shared.etcd.discard(new);
        let Some((_, found)) = read_leases(shared, call, &[name]).await.pop() else { break };
        match found? {
            Some(found) if found.lease.id == lease.id => match found.ending {
                Some(reason) => return disabled_reply(call, found.lease, reason).await,
                None => lease = found.lease,
            },
            _ => return Ok(RenewOutcome::Lost),
        }
    }
    Err(shared.busy())
}

/// Returns the lease of each name as of one moment; `None` for a name that is not held.
async fn read_leases<'n>(
    shared: &EtcdInner,
    call: &BoundedCall,
    names: &[&'n LockName],
) -> Vec<(&'n LockName, Result<Option<LeaseState>>)> {
    // Exactly the keys of each name are read, so that keys of other names do not make the answer
    // longer.
    let reads = names.iter().flat_map(|name| {
        [Family::Lease, Family::Ending]
            .map(|family| TxnOp::get(shared.keys.key(family, name), None))
    });
    let reads: Vec<_> = reads.collect();
    let answers = match call.read_large_txn(Txn::new().and_then(reads)).await {
        Ok(answers) => answers.op_responses(),
        Err(error) => return names.iter().map(|name| (*name, Err(error.clone()))).collect(),
    };
    let first = |answer: Option<&TxnOpResponse>| match answer {
        Some(TxnOpResponse::Get(got)) => got.kvs().first().cloned(),
        _ => None,
    };
    let found = |pair: Option<&[TxnOpResponse]>| {
        let (lease, ending) = (first(pair?.first()), first(pair?.get(1)));
        let ending = ending.map(|kv| record::ending(&kv)).transpose();
        let lease = record::lease(&lease?);
        Some(lease.and_then(|lease| Ok(LeaseState { lease, ending: ending? })))
    };
    let mut pairs = answers.chunks(2);
    names.iter().map(|name| (*name, found(pairs.next()).transpose())).collect()
}
