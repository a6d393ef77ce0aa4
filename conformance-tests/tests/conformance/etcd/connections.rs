//! These cases cover connections, and the streams and watches on them.

use std::sync::Arc;

use leasehold::etcd::EtcdStore;
use leasehold_conformance::CaseResult;
use leasehold_conformance::expect::extended;
use leasehold_core::{LeaseId, RenewOptions, RenewOutcome};
use leasehold_test_servers::catalog::ETCD;
use leasehold_test_servers::{LinkBehaviour, Proxy};
use tokio::time::timeout;

use super::support::{LIMIT, TTL, connect, name, namespace};
use super::{Etcd, client, metrics, options, start_server};
use crate::broken::broken;
use crate::kept;

/// Runs once with one member, and once with three members that are all cut off in the same way.
pub(super) async fn silent_connections_lose_no_lease(backend: Arc<Etcd>) -> CaseResult {
    let cut = async |members: usize| {
        let mut proxies = Vec::new();
        for _ in 0..members {
            proxies.push(Proxy::start(&backend.address()).await.map_err(broken)?);
        }
        let addresses: Vec<_> = proxies.iter().map(Proxy::address).collect();
        let url = ETCD.url_at(&addresses.join(","));
        let store = EtcdStore::connect(&url, &options(&namespace()?)).await?;
        kept::silent_connections(Arc::new(store), &proxies).await
    };
    let (one, three) = tokio::join!(cut(1), cut(3));
    one.and(three)
}

pub(super) async fn keep_alives_share_a_few_streams(_: Arc<Etcd>) -> CaseResult {
    let server = start_server().await?;
    let client = connect(&ETCD.url_at(&server.address()), &namespace()?).await?;
    let mut leases = Vec::new();
    for number in 0..200 {
        let taken = client.acquire_free(&name(&format!("job {number}")), TTL).await?;
        leases.push(RenewOptions::new(taken.name, taken.lease, TTL));
    }
    for _ in 0..3 {
        // The batch is sent twice at the same time, so that several requests for one lease are
        // under way.
        let (one, other) =
            tokio::join!(client.store().renew(&leases), client.store().renew(&leases));
        for outcome in one?.into_iter().chain(other?) {
            extended(outcome);
        }
    }
    // A lease that has ended is reported as lost, and does not get the answer of another lease.
    let unknown = RenewOptions::new(leases[0].name.clone(), LeaseId::new(), TTL);
    client.release(&leases[1].name, leases[1].lease).await?;
    let outcomes = client.store().renew(&[unknown, leases[1].clone(), leases[2].clone()]).await?;
    assert!(
        matches!(
            outcomes[..],
            [RenewOutcome::Lost, RenewOutcome::Lost, RenewOutcome::Extended { .. }]
        ),
        "{outcomes:?}"
    );
    let streams = metrics::streams(&server.address()).await?;
    assert!((2..=8).contains(&streams), "{streams} streams");
    Ok(())
}

pub(super) async fn a_watch_survives_a_compaction(backend: Arc<Etcd>) -> CaseResult {
    let namespace = namespace()?;
    let proxy = Proxy::start(&backend.address()).await.map_err(broken)?;
    let far = connect(&ETCD.url_at(&proxy.address()), &namespace).await?;
    let near = connect(backend.url(), &namespace).await?;
    let mut hints = far.watch().await?;
    proxy.set(LinkBehaviour::Cut);
    let taken = near.acquire_free(&name("job"), TTL).await?;
    near.release_held(&taken).await?;
    let mut raw = client(backend.address()).await.map_err(broken)?;
    let revision = i64::from(near.acquire_free(&name("other"), TTL).await?.token);
    raw.compact(revision, None).await.map_err(broken)?;
    proxy.set(LinkBehaviour::Pass);
    let hint = timeout(LIMIT, futures_util::StreamExt::next(&mut hints)).await.expect("a hint");
    assert_eq!(hint, Some(leasehold_core::Hint::Anything));
    near.disable(&name("job"), "upkeep").await?;
    let hint = timeout(LIMIT, futures_util::StreamExt::next(&mut hints)).await.expect("a hint");
    assert!(hint.is_some());
    Ok(())
}
