//! Removes what is stored of unused names: the key whose revision is the token of the latest grant.
//!
//! A token is a revision of the whole cluster, so that the next grant has a larger one, whatever
//! was removed. The age of a grant is measured by the calendar clock of the holder at that time; no
//! lease depends on it.

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp, TxnOpResponse};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::client::LeaseExpired;
use super::keys::Family;
use super::record;
use super::shared::EtcdInner;
use crate::{LockName, PruneOptions, Result};

/// This many names are checked together; two keys of each are read in one transaction.
const PAGE: usize = 60;

/// This many keys are removed concurrently.
const CONCURRENCY: usize = 16;

/// A name whose latest grant is long enough ago.
struct Candidate {
    name: LockName,
    /// The revision of that grant.
    revision: i64,
}

/// Removes the keys of a page of unused names, and returns the names.
pub(super) async fn prune(shared: &EtcdInner, options: &PruneOptions) -> Result<Vec<LockName>> {
    let mut after = options.after.as_ref().map(|name| name.as_str().as_bytes().to_vec());
    let mut pruned = Vec::new();
    while pruned.len() < options.limit {
        let (candidates, next) = page(shared, options, after.as_deref()).await?;
        let mut unused = unused(shared, candidates).await?;
        unused.truncate(options.limit - pruned.len());
        let removed: Vec<_> = stream::iter(unused)
            .map(|candidate| async move {
                let removed = options.dry_run || remove(shared, &candidate).await?;
                Ok::<_, crate::Error>(removed.then_some(candidate.name))
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await?;
        pruned.extend(removed.into_iter().flatten());
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(pruned)
}

/// Returns the first names after the given one that were not granted lately, and the last name that
/// was checked if there are more.
async fn page(
    shared: &EtcdInner,
    options: &PruneOptions,
    after: Option<&[u8]>,
) -> Result<(Vec<Candidate>, Option<Vec<u8>>)> {
    let keys = &shared.keys;
    let start = match after {
        Some(name) => keys.range_after(Family::Granted, name),
        None => keys.start(Family::Granted, ""),
    };
    let range = GetOptions::new()
        .with_range(keys.end(Family::Granted, ""))
        .with_limit(i64::try_from(PAGE).unwrap_or(i64::MAX));
    let look = Txn::new().and_then([TxnOp::get(start, Some(range))]);
    let answers = shared.etcd.call().read_large_txn(look).await?.op_responses();
    let Some(TxnOpResponse::Get(got)) = answers.first() else { return Ok((Vec::new(), None)) };
    let candidates = got.kvs().iter().filter_map(|kv| {
        let (_, name) = keys.parse(kv.key())?;
        let name = LockName::new(name).ok()?;
        record::token(kv).ok()?;
        // A grant by a version that wrote no time counts as old.
        let long_ago = record::granted_since(kv).is_none_or(|since| since >= options.unused_for);
        long_ago.then_some(Candidate { name, revision: kv.mod_revision() })
    });
    let last = got.kvs().last().filter(|_| got.more());
    let last = last.and_then(|kv| keys.name_in(Family::Granted, kv.key())).map(<[u8]>::to_vec);
    Ok((candidates.collect(), last))
}

/// Returns the candidates that are neither held nor disabled.
async fn unused(shared: &EtcdInner, candidates: Vec<Candidate>) -> Result<Vec<Candidate>> {
    if candidates.is_empty() {
        return Ok(candidates);
    }
    let exists = |family, name| {
        let range = GetOptions::new().with_count_only();
        TxnOp::get(shared.keys.key(family, name), Some(range))
    };
    let reads: Vec<_> = candidates
        .iter()
        .flat_map(|it| [Family::Lease, Family::Disabled].map(|family| exists(family, &it.name)))
        .collect();
    let answers = shared.etcd.call().read_txn(Txn::new().and_then(reads)).await?.op_responses();
    let is_absent = |answer: &TxnOpResponse| match answer {
        TxnOpResponse::Get(got) => got.count() == 0,
        _ => false,
    };
    let pairs = answers.chunks(2).map(|pair| pair.len() == 2 && pair.iter().all(is_absent));
    Ok(candidates.into_iter().zip(pairs).filter_map(|(it, is)| is.then_some(it)).collect())
}

/// Removes the key, if the name is still unused and was not granted again.
async fn remove(shared: &EtcdInner, candidate: &Candidate) -> Result<bool> {
    let key = |family| shared.keys.key(family, &candidate.name);
    let txn = Txn::new()
        .when([
            Compare::mod_revision(key(Family::Granted), CompareOp::Equal, candidate.revision),
            Compare::create_revision(key(Family::Lease), CompareOp::Equal, 0),
            Compare::create_revision(key(Family::Disabled), CompareOp::Equal, 0),
        ])
        .and_then([TxnOp::delete(key(Family::Granted), None)]);
    let done = shared.etcd.call().write_txn(txn).await?.map_err(|LeaseExpired| shared.busy())?;
    Ok(done.succeeded())
}
