//! These cases cover the keys of queues.

use std::sync::Arc;

use etcd_client::{Client as Raw, GetOptions, PutOptions};
use futures_util::StreamExt;
use leasehold_conformance::expect::{conflict, granted, holds, queued, waits};
use leasehold_conformance::{CaseResult, Client, Failure};
use leasehold_core::{
    AcquireOutcome, EnterOptions, ErrorKind, Hint, LeaseId, ListOptions, LockKind, LockName,
    LockState, LockStoreExt, Namespace, ReleaseOutcome, RenewOptions, RenewOutcome,
};
use tokio::time::timeout;

use super::Etcd;
use super::records::new_keys;
use super::support::{LIMIT, TTL, name};
use crate::broken::broken;

fn attempt(store: &Client) -> EnterOptions {
    EnterOptions::new(LeaseId::new(), store.holder().clone(), TTL, LockKind::Fair)
}

async fn enter(store: &Client, lock: &LockName) -> CaseResult<(LeaseId, AcquireOutcome)> {
    let attempt = attempt(store);
    Ok((attempt.lease, store.store().enter(lock, &attempt).await?))
}

fn key(namespace: &Namespace, lock: &LockName, lease: impl std::fmt::Display) -> String {
    format!("/{namespace}/entry/{lock}\0{lease}")
}

/// Returns the etcd lease of an entry.
async fn attached(raw: &mut Raw, key: String) -> CaseResult<i64> {
    let found = raw.get(key, None).await.map_err(broken)?;
    let lease = found.kvs().first().map(etcd_client::KeyValue::lease);
    lease.ok_or_else(|| Failure::new("there is no key of the entry"))
}

pub(super) async fn a_corrupt_entry_is_reported_and_concerns_only_its_own_name(
    backend: Arc<Etcd>,
) -> CaseResult {
    let (store, mut raw, namespace) = new_keys(&backend).await?;
    let lease = raw.lease_grant(400, None).await.map_err(broken)?.id();
    let id = LeaseId::new().to_string();
    let id = id.as_str();
    let damage = [
        ("what is this", id, lease),
        ("{}", id, lease),
        (r#"{"kind": "fair", "weight": 1, "at": 1}"#, id, lease),
        ("[]", "no uuid", lease),
        // It would never expire.
        (r#"{"kind": "fair", "weight": 1, "holder": {}, "at": 1}"#, id, 0),
    ];
    for (number, (value, id, etcd_lease)) in damage.into_iter().enumerate() {
        let [damaged, sound] = ["damaged", "sound"].map(|lock| name(&format!("{lock} {number}")));
        let (first, outcome) = enter(&store, &damaged).await?;
        granted(outcome);
        let (other, outcome) = enter(&store, &sound).await?;
        granted(outcome);
        let foreign = key(&namespace, &damaged, id);
        let options = PutOptions::new().with_lease(etcd_lease);
        raw.put(foreign.as_str(), value, Some(options)).await.map_err(broken)?;
        let options = store.options(LeaseId::new(), TTL);
        let errors = [
            store.store().enter(&damaged, &attempt(&store)).await.expect_err(value),
            store.store().acquire(&damaged, &options).await.expect_err(value),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{value}: {error}");
            assert!(error.to_string().contains("entry/damaged"), "{error}");
        }
        let batch = [(&damaged, first), (&sound, other)]
            .map(|(lock, lease)| RenewOptions::new(lock.clone(), lease, TTL).of_entry(true));
        let outcomes = store.store().renew(&batch).await?;
        assert!(matches!(outcomes[0], RenewOutcome::Unknown { .. }), "{value}: {outcomes:?}");
        holds(outcomes[1].clone());
        let record = store.get(&damaged).await?.expect("it has keys");
        assert_eq!(record.state(), LockState::Corrupt, "{value}");
        let kept = raw.get(foreign.as_str(), None).await.map_err(broken)?;
        assert_eq!(kept.kvs()[0].value(), value.as_bytes(), "it was overwritten");
        // A sound entry can leave, and the name is sound again without the other key.
        assert_eq!(store.store().leave(&damaged, first).await?, ReleaseOutcome::Released);
        raw.delete(foreign, None).await.map_err(broken)?;
        granted(enter(&store, &damaged).await?.1);
    }
    Ok(())
}

pub(super) async fn a_list_has_whole_queues_on_every_page(backend: Arc<Etcd>) -> CaseResult {
    // Together these are more than one page reads at once.
    const ENTRIES: usize = 120;
    let (store, _, _) = new_keys(&backend).await?;
    let locks = ["a", "a/b", "b", "c"].map(name);
    for lock in &locks {
        for _ in 0..ENTRIES {
            let mut reader = attempt(&store);
            reader.kind = LockKind::ReaderWriter;
            granted(store.store().enter(lock, &reader).await?);
        }
    }
    store.acquire_free(&name("d"), TTL).await?;
    for limit in [1, 2, 3, 500] {
        let mut page = ListOptions::default().with_limit(limit);
        let mut shown = Vec::new();
        loop {
            let found = store.store().list(&page).await?;
            page.after = found.last().map(|record| record.name.clone());
            let is_last = found.len() < limit;
            shown.extend(
                found.into_iter().map(|record| {
                    (record.name, record.queue.map_or(0, |queue| queue.entries.len()))
                }),
            );
            if is_last {
                break;
            }
        }
        let mut expected: Vec<_> = locks.iter().map(|lock| (lock.clone(), ENTRIES)).collect();
        expected.push((name("d"), 0));
        assert_eq!(shown, expected, "in pages of {limit}");
    }
    Ok(())
}

/// An entry whose client died ends with its etcd lease. Nobody leaves then, and the others learn of
/// it by the watch.
pub(super) async fn an_entry_whose_etcd_lease_ends_wakes_those_that_hold_the_lock_then(
    backend: Arc<Etcd>,
) -> CaseResult {
    let (store, mut raw, namespace) = new_keys(&backend).await?;
    let lock = name("job");
    let (first, outcome) = enter(&store, &lock).await?;
    granted(outcome);
    let (second, outcome) = enter(&store, &lock).await?;
    queued(outcome);
    let (third, outcome) = enter(&store, &lock).await?;
    queued(outcome);
    let mut hints = store.watch().await?;
    let etcd_lease = attached(&mut raw, key(&namespace, &lock, first)).await?;
    raw.lease_revoke(etcd_lease).await.map_err(broken)?;
    let hint = timeout(LIMIT, hints.next()).await.map_err(broken)?;
    assert_eq!(hint, Some(Hint::Entries(lock.clone(), vec![second])));
    holds(store.store().renew_entry(&lock, second, TTL).await?);
    assert_eq!(waits(store.store().renew_entry(&lock, third, TTL).await?).1, 1);
    let first = store.store().renew_entry(&lock, first, TTL).await?;
    assert_eq!(first, RenewOutcome::Lost);
    Ok(())
}

pub(super) async fn each_entry_has_an_etcd_lease_of_its_own(backend: Arc<Etcd>) -> CaseResult {
    let (store, mut raw, namespace) = new_keys(&backend).await?;
    let lock = name("job");
    let (first, outcome) = enter(&store, &lock).await?;
    granted(outcome);
    let etcd_lease = attached(&mut raw, key(&namespace, &lock, first)).await?;
    let (second, outcome) = enter(&store, &lock).await?;
    queued(outcome);
    let other = attached(&mut raw, key(&namespace, &lock, second)).await?;
    assert_ne!(etcd_lease, other, "the entries would end together");
    assert_eq!(store.store().leave(&lock, first).await?, ReleaseOutcome::Released);
    let (third, outcome) = enter(&store, &lock).await?;
    queued(outcome);
    // On a busy machine the keep-alive may take too long, and then a new one is used.
    let third_lease = attached(&mut raw, key(&namespace, &lock, third)).await?;
    assert_ne!(third_lease, other, "the entries would end together");
    for lease in [second, third] {
        assert_eq!(store.store().leave(&lock, lease).await?, ReleaseOutcome::Released);
    }
    let prefix = Some(GetOptions::new().with_prefix());
    let left = raw.get(format!("/{namespace}/entry/"), prefix).await.map_err(broken)?;
    assert_eq!(left.count(), 0);
    Ok(())
}

/// An earlier version puts these keys without a look at the entries.
pub(super) async fn a_name_with_the_lease_of_an_earlier_version_gets_no_entry(
    backend: Arc<Etcd>,
) -> CaseResult {
    let (store, mut raw, namespace) = new_keys(&backend).await?;
    let lock = name("job");
    let (first, outcome) = enter(&store, &lock).await?;
    granted(outcome);
    let taken = store.acquire_free(&name("template"), TTL).await?;
    let lease = raw.lease_grant(400, None).await.map_err(broken)?.id();
    for family in ["lease", "holder"] {
        let template = format!("/{namespace}/{family}/{}", taken.name);
        let found = raw.get(template, None).await.map_err(broken)?;
        let options = PutOptions::new().with_lease(lease);
        let key = format!("/{namespace}/{family}/{lock}");
        raw.put(key, found.kvs()[0].value(), Some(options)).await.map_err(broken)?;
    }
    conflict(store.store().enter(&lock, &attempt(&store)).await);
    assert_eq!(store.store().leave(&lock, first).await?, ReleaseOutcome::Released);
    conflict(store.store().enter(&lock, &attempt(&store)).await);
    raw.lease_revoke(lease).await.map_err(broken)?;
    granted(enter(&store, &lock).await?.1);
    Ok(())
}
