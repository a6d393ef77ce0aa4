//! Removes the keys of unused names: for each, the key whose revision is the latest token, and the
//! reason for which former entries of its queue had to leave.
//!
//! A token is a revision of the whole cluster, so the next grant has a larger one, whatever was
//! removed. The time of a grant comes from the calendar clock of its holder; no lease depends on
//! it.

use std::time::Duration;

use etcd_client::{GetOptions, TxnOpResponse};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::client::{EtcdClient, LeaseExpired};
use super::error_codes::contended;
use super::keys::{Family, Keys};
use super::{record, transaction};
use crate::shell::{Found, Page};
use crate::{Error, LockName, Result};

/// This many names are checked together; three counts of each are read in one transaction.
const PAGE: usize = 40;

/// This many keys are removed concurrently.
const CONCURRENCY: usize = 16;

/// A name whose latest grant is old enough.
struct Candidate {
    name: LockName,
    /// The revision of that grant.
    revision: i64,
}

/// Removes the keys of the next unused names, and returns the names.
pub(super) async fn prune_page(
    client: &EtcdClient,
    keys: &Keys,
    page: &Page<'_>,
    unused_for: Duration,
    dry_run: bool,
) -> Result<Found<LockName>> {
    let (candidates, mut next) = candidates(client, keys, page, unused_for).await?;
    let mut unused = unused(client, keys, candidates).await?;
    if unused.len() > page.limit {
        unused.truncate(page.limit);
        next = unused.last().map(|candidate| candidate.name.as_str().as_bytes().to_vec());
    }
    let removed: Vec<_> = stream::iter(unused)
        .map(|candidate| async move {
            let removed = dry_run || remove(client, keys, &candidate).await?;
            Ok::<_, Error>(removed.then_some(candidate.name))
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    Ok(Found { entries: removed.into_iter().flatten().collect(), next })
}

/// Returns the next names that were not granted recently, and the last name that was checked if
/// more names follow.
async fn candidates(
    client: &EtcdClient,
    keys: &Keys,
    page: &Page<'_>,
    unused_for: Duration,
) -> Result<(Vec<Candidate>, Option<Vec<u8>>)> {
    let (start, end) = keys.range(Family::Granted, page.prefix, page.after);
    let range =
        GetOptions::new().with_range(end).with_limit(i64::try_from(PAGE).unwrap_or(i64::MAX));
    let found = client.call().read_large_txn(transaction::read_range(start, range)).await?;
    let answers = found.op_responses();
    let Some(TxnOpResponse::Get(got)) = answers.first() else { return Ok((Vec::new(), None)) };
    let candidates = got.kvs().iter().filter_map(|kv| {
        let (_, name) = keys.parse(kv.key())?;
        let name = LockName::new(name).ok()?;
        record::token(kv).ok()?;
        // A grant by a version that wrote no time counts as old.
        let long_ago = record::granted_since(kv).is_none_or(|since| since >= unused_for);
        long_ago.then_some(Candidate { name, revision: kv.mod_revision() })
    });
    let last = got.kvs().last().filter(|_| got.more());
    let last = last.and_then(|kv| keys.name_in(Family::Granted, kv.key())).map(<[u8]>::to_vec);
    Ok((candidates.collect(), last))
}

/// Returns the candidates that are neither held nor disabled, and have no queue.
async fn unused(
    client: &EtcdClient,
    keys: &Keys,
    candidates: Vec<Candidate>,
) -> Result<Vec<Candidate>> {
    if candidates.is_empty() {
        return Ok(candidates);
    }
    let count = transaction::count_uses(keys, candidates.iter().map(|it| &it.name));
    let counts = client.call().read_txn(count).await?.op_responses();
    let is_absent = |answer: &TxnOpResponse| match answer {
        TxnOpResponse::Get(got) => got.count() == 0,
        _ => false,
    };
    let unused = counts.chunks(3).map(|counts| counts.len() == 3 && counts.iter().all(is_absent));
    Ok(candidates.into_iter().zip(unused).filter_map(|(it, is)| is.then_some(it)).collect())
}

/// Removes the key, if the name is still unused and was not granted again.
async fn remove(client: &EtcdClient, keys: &Keys, candidate: &Candidate) -> Result<bool> {
    let txn = transaction::prune(keys, &candidate.name, candidate.revision);
    let done = client.call().write_txn(txn).await?.map_err(|LeaseExpired| contended())?;
    Ok(done.succeeded())
}
