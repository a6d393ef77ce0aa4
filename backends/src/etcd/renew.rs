//! Renewals: what stands of the whole batch is read at once, then those in force are kept alive.

use std::collections::HashMap;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp, TxnOpResponse};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::calls::{Call, NoLease, seconds_of, whole_seconds};
use super::keys::Family;
use super::record::{self, Lease};
use super::store::{Shared, seconds};
use crate::{LeaseId, LockName, Reason, RenewOptions, RenewOutcome, Result};

/// The most names in one transaction: etcd allows 128 operations by default.
pub(super) const BATCH: usize = 120;

/// How often a change of the ttl is tried while others change the same keys.
const TRIES: usize = 4;

/// What stands of one name in a batch.
#[derive(Clone, Debug)]
struct Found {
    lease: Lease,
    ending: Option<Reason>,
}

pub(super) async fn renew(shared: &Shared, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
    let call = shared.etcd.call();
    // Of a lease that is in it twice, the last ttl counts, and each answer tells of that.
    let asked: HashMap<(&LockName, LeaseId), Duration> =
        leases.iter().map(|l| ((&l.name, l.lease), l.ttl)).collect();
    let mut names: Vec<&LockName> = asked.keys().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let looks = names.chunks(BATCH).map(|names| look(shared, &call, names));
    let found: HashMap<&LockName, Found> =
        try_join_all(looks).await?.into_iter().flatten().collect();
    let renewals = asked.iter().map(|((name, lease), ttl)| {
        let (call, found) = (&call, found.get(*name).filter(|found| found.lease.id == *lease));
        async move {
            let outcome = match found {
                Some(found) => one(shared, call, name, found, *ttl).await?,
                None => RenewOutcome::Lost,
            };
            Ok::<_, crate::Error>(((*name, *lease), outcome))
        }
    });
    let outcomes: HashMap<_, _> = try_join_all(renewals).await?.into_iter().collect();
    let answer = |l: &RenewOptions| outcomes.get(&(&l.name, l.lease)).cloned();
    Ok(leases.iter().map(|l| answer(l).unwrap_or(RenewOutcome::Lost)).collect())
}

async fn one(
    shared: &Shared,
    call: &Call,
    name: &LockName,
    found: &Found,
    ttl: Duration,
) -> Result<RenewOutcome> {
    if let Some(reason) = &found.ending {
        return stopping(call, found.lease, reason.clone()).await;
    }
    let seconds = seconds(ttl);
    if seconds_of(found.lease.etcd) == seconds {
        return Ok(match call.keep_alive(found.lease.etcd).await? {
            Ok(()) => RenewOutcome::Extended { left: whole_seconds(seconds) },
            Err(NoLease) => RenewOutcome::Lost,
        });
    }
    change(shared, call, name, found.lease, seconds).await
}

async fn stopping(call: &Call, lease: Lease, reason: Reason) -> Result<RenewOutcome> {
    Ok(match call.left(lease.etcd).await? {
        Some(left) => RenewOutcome::Disabled { reason, left: left.at_least },
        None => RenewOutcome::Lost,
    })
}

/// Extends a lease by another ttl than it has: etcd knows no such thing, so its keys move to a new
/// etcd lease, if they stand as they were found.
async fn change(
    shared: &Shared,
    call: &Call,
    name: &LockName,
    mut lease: Lease,
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
        let moved = call.commit(txn).await?;
        if moved.is_ok_and(|moved| moved.succeeded()) {
            shared.etcd.discard(lease.etcd);
            return Ok(RenewOutcome::Extended { left: granted.saturating_sub(asked.elapsed()) });
        }
        shared.etcd.discard(new);
        match look(shared, call, &[name]).await?.into_iter().next() {
            Some((_, found)) if found.lease.id == lease.id => match found.ending {
                Some(reason) => return stopping(call, found.lease, reason).await,
                None => lease = found.lease,
            },
            _ => return Ok(RenewOutcome::Lost),
        }
    }
    Err(shared.busy())
}

/// The leases in force of those names, which are in byte order, as of one moment.
async fn look<'n>(
    shared: &Shared,
    call: &Call,
    names: &[&'n LockName],
) -> Result<Vec<(&'n LockName, Found)>> {
    let (Some(first), Some(last)) = (names.first(), names.last()) else { return Ok(Vec::new()) };
    let mut reads: Vec<_> =
        names.iter().map(|name| TxnOp::get(shared.keys.key(Family::Lease, name), None)).collect();
    // Few leases are to end at any time, so all of them between first and last are read at once.
    let mut end = shared.keys.key(Family::Ending, last);
    end.push(0);
    let ending = GetOptions::new().with_range(end);
    reads.push(TxnOp::get(shared.keys.key(Family::Ending, first), Some(ending)));
    let answers = call.look(Txn::new().and_then(reads)).await?.op_responses();
    let mut leases = Vec::new();
    let mut endings = HashMap::new();
    for (number, answer) in answers.iter().enumerate() {
        let TxnOpResponse::Get(got) = answer else { continue };
        match names.get(number) {
            Some(name) => leases.extend(got.kvs().first().map(|kv| (*name, record::lease(kv)))),
            None => {
                for kv in got.kvs() {
                    if let Some((Family::Ending, name)) = shared.keys.parse(kv.key()) {
                        endings.insert(name.to_owned(), record::ending(kv));
                    }
                }
            }
        }
    }
    let mut found = Vec::new();
    for (name, lease) in leases {
        let ending = endings.remove(name.as_str()).transpose();
        match lease.and_then(|lease| Ok(Found { lease, ending: ending? })) {
            Ok(one) => found.push((name, one)),
            // A damaged key must not cost the others their leases: its own is as good as lost.
            Err(error) => {
                let error = error.for_lock(name).on_store(&shared.label);
                tracing::error!(%error, "a lease cannot be renewed");
            }
        }
    }
    Ok(found)
}
