//! These cases cover the announcements of instances.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, PutOptions};
use futures_util::StreamExt;
use leasehold_conformance::CaseResult;
use leasehold_core::{Holder, LockName, Presence};
use leasehold_test_servers::catalog::ETCD;
use tokio::time::{Instant, sleep, timeout};

use super::support::{LIMIT, TTL, connect, namespace};
use super::{Etcd, client, start_server};
use crate::broken::broken;

pub(super) fn presence() -> Presence {
    Presence::new(Holder::current(), Vec::new())
}

pub(super) async fn a_corrupt_instance_record_hides_no_other(backend: Arc<Etcd>) -> CaseResult {
    let namespace = namespace()?;
    let store = connect(backend.url(), &namespace).await?;
    let mut raw = client(backend.address()).await.map_err(broken)?;
    let (good, here) = (presence(), presence());
    store.store().announce(&good, TTL).await?;
    let (text, other) = (serde_json::to_string(&here)?, serde_json::to_string(&good)?);
    let foreign = raw.lease_grant(1200, None).await.map_err(broken)?.id();
    let key = format!("/{namespace}/instance/{}", here.holder.instance);
    let nested = format!("{key}/mine");
    for (key, value, lease) in [
        (&key, &text, 0),
        (&key, &"mine".to_owned(), foreign),
        (&key, &other, foreign),
        (&nested, &text, foreign),
    ] {
        let attached = PutOptions::new().with_lease(lease);
        raw.put(key.as_str(), value.as_str(), Some(attached)).await.map_err(broken)?;
        let known = store.store().instances().await?;
        assert_eq!(known.len(), 1, "{key}: {value}: {known:?}");
        assert_eq!(known[0].presence, good);
        let kept = raw.get(key.as_str(), None).await.map_err(broken)?;
        assert_eq!(kept.kvs()[0].value(), value.as_bytes(), "{key} was overwritten");
        raw.delete(key.as_str(), None).await.map_err(broken)?;
    }
    // An announcement replaces any other value, and the lease of another client does not end
    // because of it.
    let attached = PutOptions::new().with_lease(foreign);
    raw.put(key.as_str(), "mine", Some(attached)).await.map_err(broken)?;
    store.store().announce(&here, TTL).await?;
    assert_eq!(store.store().instances().await?.len(), 2);
    sleep(Duration::from_secs(3)).await;
    assert!(raw.lease_time_to_live(foreign, None).await.map_err(broken)?.ttl() > 0);
    store.store().withdraw(here.holder.instance).await?;
    store.store().withdraw(good.holder.instance).await?;
    assert_eq!(store.store().instances().await?, []);
    Ok(())
}

async fn granted(raw: &mut Client) -> CaseResult<usize> {
    Ok(raw.leases().await.map_err(broken)?.leases().len())
}

pub(super) async fn an_instance_has_one_etcd_lease_and_leaks_none(_: Arc<Etcd>) -> CaseResult {
    let server = start_server().await?;
    let mut raw = client(server.address()).await.map_err(broken)?;
    let (url, namespace) = (ETCD.url_at(&server.address()), namespace()?);
    let (one, other) = (connect(&url, &namespace).await?, connect(&url, &namespace).await?);
    let mut hints = one.watch().await?;
    let mut here = presence();
    one.store().announce(&here, TTL).await?;
    let revision = async |raw: &mut Client| {
        let got = raw.get("x", None).await.map_err(broken)?;
        CaseResult::Ok(got.header().map_or(0, etcd_client::ResponseHeader::revision))
    };
    // An announcement that is repeated by any client costs no write.
    let before = revision(&mut raw).await?;
    for store in [&one, &other, &one] {
        store.store().announce(&here, TTL).await?;
        assert_eq!(granted(&mut raw).await?, 1);
    }
    assert_eq!(revision(&mut raw).await?, before);
    here.unlisted = 7;
    one.store().announce(&here, TTL).await?;
    assert_eq!(granted(&mut raw).await?, 1);
    // With another ttl, the etcd lease that the announcement had before is revoked.
    for ttl in [TTL * 2, TTL / 2] {
        other.store().announce(&here, ttl).await?;
        let begun = Instant::now();
        while granted(&mut raw).await? > 1 {
            assert!(begun.elapsed() < LIMIT, "leases accumulate");
            sleep(Duration::from_millis(50)).await;
        }
        let known = one.store().instances().await?;
        assert_eq!(known.len(), 1, "it ended with the previous lease");
        assert!(known[0].left <= ttl + Duration::from_secs(1), "{known:?}");
    }
    // An instance whose etcd lease was revoked by an operator is announced again, and so is one
    // whose key was deleted.
    let key = format!("/{namespace}/instance/{}", here.holder.instance);
    let found = raw.get(key.as_str(), None).await.map_err(broken)?;
    raw.lease_revoke(found.kvs()[0].lease()).await.map_err(broken)?;
    assert_eq!(one.store().instances().await?, []);
    one.store().announce(&here, TTL / 2).await?;
    assert_eq!(one.store().instances().await?.len(), 1);
    one.store().withdraw(here.holder.instance).await?;
    assert_eq!(granted(&mut raw).await?, 0);
    let left = raw.get(key.as_str(), None).await.map_err(broken)?;
    assert_eq!(left.count(), 0);
    let hint = timeout(Duration::from_secs(1), hints.next()).await;
    assert!(hint.is_err(), "{hint:?} though no lock changed");
    Ok(())
}

/// Together these are longer than the largest answer that the driver accepts by default.
pub(super) async fn long_instance_records_are_all_listed(backend: Arc<Etcd>) -> CaseResult {
    let store = connect(backend.url(), &namespace()?).await?;
    let names = (0..Presence::MAX_LISTED).map(|number| LockName::new(format!("{number:\"<255}")));
    let campaigns = names.collect::<leasehold_core::Result<Vec<_>>>()?;
    let mut announced = Vec::new();
    for _ in 0..24 {
        let here = Presence::new(Holder::current(), campaigns.clone());
        store.store().announce(&here, TTL).await?;
        announced.push(here.holder.instance);
    }
    announced.sort_unstable();
    let known = store.store().instances().await?;
    let known: Vec<_> = known.iter().map(|it| it.presence.holder.instance).collect();
    assert_eq!(known, announced);
    for instance in announced {
        store.store().withdraw(instance).await?;
    }
    Ok(())
}
