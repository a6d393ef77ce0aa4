//! These cases cover keys that Leasehold did not write, or that a later version wrote.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client as Raw, PutOptions};
use leasehold_conformance::expect::extended;
use leasehold_conformance::{CaseResult, Client};
use leasehold_core::{
    ErrorKind, LeaseId, LockState, LockStoreExt, Namespace, PruneOptions, RenewOptions,
    RenewOutcome,
};

use super::support::{TTL, connect, name, namespace};
use super::{Etcd, client};
use crate::broken::broken;

/// Returns a store in a new namespace, and a client of etcd.
pub(super) async fn new_keys(backend: &Etcd) -> CaseResult<(Client, Raw, Namespace)> {
    let namespace = namespace()?;
    let store = connect(backend.url(), &namespace).await?;
    let raw = client(backend.address()).await.map_err(broken)?;
    Ok((store, raw, namespace))
}

pub(super) async fn foreign_and_corrupt_keys_are_not_overwritten(backend: Arc<Etcd>) -> CaseResult {
    let (store, mut raw, namespace) = new_keys(&backend).await?;
    let sound = store.acquire_free(&name("sound"), TTL).await?;
    let foreign = [
        ("lease/text", "what is this"),
        // The value has an id, but the key is not attached to an etcd lease.
        ("lease/bare", "01890a5d-ac96-774b-bcce-b302099a8057"),
        ("disabled/list", "[1, 2]"),
        ("disabled/empty", "{}"),
    ];
    for (key, value) in foreign {
        raw.put(format!("/{namespace}/{key}"), value, None).await.map_err(broken)?;
    }
    raw.put(format!("/{namespace}/unknown"), "x", None).await.map_err(broken)?;
    for (key, value) in foreign {
        let lock = name(key.split_once('/').map_or("", |(_, lock)| lock));
        let options = store.options(LeaseId::new(), TTL);
        let error = store.store().acquire(&lock, &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{key}: {error}");
        assert!(error.to_string().contains(key), "{error}");
        let record = store.store().get(&lock).await?.expect(key);
        assert!(record.corrupt.is_some_and(|why| why.contains(key)), "{key}");
        let renewal = store.renew(&lock, LeaseId::new(), TTL).await?;
        match key.starts_with("lease/") {
            true => assert!(matches!(renewal, RenewOutcome::Unknown { .. }), "{key}: {renewal:?}"),
            false => assert_eq!(renewal, RenewOutcome::Lost, "{key}"),
        }
        let kept = raw.get(format!("/{namespace}/{key}"), None).await.map_err(broken)?;
        assert_eq!(kept.kvs()[0].value(), value.as_bytes(), "{key} was overwritten");
    }
    // A damaged record affects no other lease.
    let batch: Vec<_> =
        [("text", LeaseId::new()), ("sound", sound.lease), ("bare", LeaseId::new())]
            .map(|(lock, lease)| RenewOptions::new(name(lock), lease, TTL))
            .into();
    let outcomes = store.store().renew(&batch).await?;
    assert!(matches!(outcomes[1], RenewOutcome::Extended { .. }), "{outcomes:?}");
    for number in [0, 2] {
        let RenewOutcome::Unknown { why, .. } = &outcomes[number] else { panic!("{outcomes:?}") };
        assert!(why.contains("lease/"), "{why}");
    }
    // An etcd lease that another client attached to a lock's key is not extended on behalf of the
    // holder.
    assert_eq!(
        store.store().renew_one(&name("sound"), LeaseId::new(), TTL).await?,
        RenewOutcome::Lost
    );
    // The damaged record hides no other name either.
    let records = store.store().list_all("").await?;
    let shown: Vec<_> = records.iter().map(|it| (it.name.as_str(), it.state())).collect();
    let corrupt = LockState::Corrupt;
    let expected = [
        ("bare", corrupt),
        ("empty", corrupt),
        ("list", corrupt),
        ("sound", LockState::Held),
        ("text", corrupt),
    ];
    assert_eq!(shown, expected);
    let why = records[0].corrupt.as_deref().unwrap_or_default();
    assert!(why.contains("lease/bare"), "{why}");
    Ok(())
}

pub(super) async fn a_record_of_a_later_version_is_reported_as_corrupt(
    backend: Arc<Etcd>,
) -> CaseResult {
    let (store, mut raw, namespace) = new_keys(&backend).await?;
    let key = |lock: &str| format!("/{namespace}/disabled/{lock}");
    let value = |more| format!(r#"{{"reason": "upkeep", "by": null, "at": 1{more}}}"#);
    raw.put(key("added"), value(r#", "color": "red""#), None).await.map_err(broken)?;
    raw.put(key("later"), value(r#", "version": 2"#), None).await.map_err(broken)?;
    raw.put(key("this"), value(r#", "version": 1"#), None).await.map_err(broken)?;
    let records = store.store().list_all("").await?;
    let shown: Vec<_> = records.iter().map(|it| (it.name.as_str(), it.state())).collect();
    let off = LockState::Disabled;
    assert_eq!(shown, [("added", off), ("later", LockState::Corrupt), ("this", off)]);
    let why = records[1].corrupt.as_deref().unwrap_or_default();
    assert!(why.contains("a later version of leasehold wrote"), "{why}");
    Ok(())
}

/// Together these are longer than the largest answer that the driver accepts by default.
pub(super) async fn long_keys_of_other_names_fail_no_renewal(backend: Arc<Etcd>) -> CaseResult {
    let (store, mut raw, namespace) = new_keys(&backend).await?;
    let mut leases = Vec::new();
    for lock in ["a", "z"] {
        let taken = store.acquire_free(&name(lock), TTL).await?;
        leases.push(RenewOptions::new(taken.name, taken.lease, TTL));
    }
    let long = "x".repeat(1 << 20);
    for number in 0..6 {
        let key = format!("/{namespace}/ending/m{number}");
        raw.put(key, long.as_str(), None).await.map_err(broken)?;
    }
    store.store().renew(&leases).await?.into_iter().for_each(|outcome| _ = extended(outcome));
    // A long key under the store's own prefix is reported, and affects no other lease.
    let key = format!("/{namespace}/ending/a");
    raw.put(key, long.as_str(), None).await.map_err(broken)?;
    let outcomes = store.store().renew(&leases).await?;
    assert!(matches!(outcomes[0], RenewOutcome::Unknown { .. }), "{:?}", outcomes[0]);
    extended(outcomes[1].clone());
    Ok(())
}

/// Writes keys whose names are too long, or are not text.
pub(super) async fn keys_that_are_not_names_hide_no_name(backend: Arc<Etcd>) -> CaseResult {
    let (store, mut raw, namespace) = new_keys(&backend).await?;
    let mut expected = Vec::new();
    for lock in ["a", "d", "g"] {
        store.disable(&name(lock), "upkeep").await?;
        let taken = store.acquire_free(&name(&format!("{lock}2")), TTL).await?;
        store.release_held(&taken).await?;
        expected.extend([name(lock), taken.name]);
    }
    for number in 0..70 {
        let long = format!("b{number}{}", "x".repeat(255));
        raw.put(format!("/{namespace}/granted/{long}"), "", None).await.map_err(broken)?;
        let key = [format!("/{namespace}/granted/e").as_bytes(), &[0xff, number]].concat();
        raw.put(key, "", None).await.map_err(broken)?;
    }
    for limit in [1, 2, 3, 500] {
        let mut page = leasehold_core::ListOptions::default().with_limit(limit);
        let mut names = Vec::new();
        loop {
            let found = store.store().list(&page).await?;
            names.extend(found.iter().map(|record| record.name.clone()));
            page.after = found.last().map(|record| record.name.clone());
            if found.len() < limit {
                break;
            }
        }
        assert_eq!(names, expected, "in pages of {limit}");
    }
    let unused_for = Duration::ZERO;
    let prune = PruneOptions::default().with_unused_for(unused_for).with_dry_run(false);
    assert_eq!(store.store().prune(&prune).await?, ["a2", "d2", "g2"].map(name));
    let left = raw
        .get(format!("/{namespace}/granted/"), Some(etcd_client::GetOptions::new().with_prefix()))
        .await
        .map_err(broken)?;
    assert_eq!(left.count(), 140, "a key that is not a name was removed");
    Ok(())
}

pub(super) async fn a_grant_without_a_time_counts_as_old(backend: Arc<Etcd>) -> CaseResult {
    let (store, mut raw, namespace) = new_keys(&backend).await?;
    let taken = store.acquire_free(&name("new"), TTL).await?;
    store.release_held(&taken).await?;
    let held = store.acquire_free(&name("held"), TTL).await?;
    raw.put(format!("/{namespace}/granted/old"), "", None).await.map_err(broken)?;
    // This is the value of an earlier version for a name that is held now.
    let key = format!("/{namespace}/granted/held");
    raw.put(key.as_str(), "", Some(PutOptions::new())).await.map_err(broken)?;
    let prune = PruneOptions::default().with_dry_run(false);
    assert_eq!(store.store().prune(&prune).await?, [name("old")]);
    extended(store.renew(&held.name, held.lease, TTL).await?);
    assert_eq!(store.names("").await?, [name("held"), name("new")]);
    Ok(())
}
