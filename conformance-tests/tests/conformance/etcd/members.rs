//! These cases cover a cluster of three members, of which one does not serve.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::{CaseResult, Client};
use leasehold_core::{LeaseId, LockStoreExt, ReleaseOutcome, RenewOptions};
use leasehold_test_servers::until_ready;
use tokio::time::timeout;

use super::cluster::Cluster;
use super::support::{LIMIT, TTL, connect, name, namespace};
use super::{Etcd, metrics};
use crate::broken::broken;

async fn hold(client: &Client, count: usize) -> CaseResult<Vec<RenewOptions>> {
    let mut leases = Vec::new();
    for number in 0..count {
        let taken = client.acquire_free(&name(&format!("job {number}")), TTL).await?;
        leases.push(RenewOptions::new(taken.name, taken.lease, TTL));
    }
    Ok(leases)
}

/// Makes each call once. None may fail because of the member that does not serve.
async fn use_once(client: &Client, job: &str) -> CaseResult {
    let (job, lease) = (name(job), LeaseId::new());
    granted(client.store().acquire(&job, &client.options(lease, TTL)).await?);
    extended(client.store().renew_one(&job, lease, TTL).await?);
    assert!(client.store().get(&job).await?.is_some_and(|record| record.lease.is_some()));
    assert_eq!(client.store().release(&job, lease).await?, ReleaseOutcome::Released);
    Ok(())
}

pub(super) async fn cut_off(_: Arc<Etcd>) -> CaseResult {
    let cluster = Cluster::start().await?;
    let namespace = namespace()?;
    let store = connect(&cluster.url(&[0, 1, 2]), &namespace).await?;
    let leases = hold(&store, 5).await?;
    let alone = cluster.leader_among(&[0, 1, 2]).await?;
    let others: Vec<_> = (0..3).filter(|member| *member != alone).collect();
    cluster.cut_off(alone).await?;
    cluster.until_alone(alone).await?;
    until_ready(|| cluster.leader_among(&others)).await?;
    // The store has sent its requests to that member so far, and now notices that it has no leader.
    for _ in 0..10 {
        store.store().renew(&leases).await?.into_iter().for_each(|outcome| _ = extended(outcome));
        use_once(&store, "one more").await?;
    }
    // In half of the runs it is the first member that gets a request.
    for _ in 0..12 {
        let store = connect(&cluster.url(&[alone, others[0]]), &namespace).await?;
        use_once(&store, "one more").await?;
        let mut hints = store.watch().await?;
        use_once(&store, "one more").await?;
        let hint = timeout(LIMIT, hints.next()).await?;
        assert!(hint.is_some(), "the watch ended");
    }
    Ok(())
}

pub(super) async fn frozen(_: Arc<Etcd>) -> CaseResult {
    let cluster = Cluster::start().await?;
    let namespace = namespace()?;
    let store = connect(&cluster.url(&[0, 1, 2]), &namespace).await?;
    let leases = hold(&store, 5).await?;
    let frozen = cluster.leader_among(&[0, 1, 2]).await?;
    let others: Vec<_> = (0..3).filter(|member| *member != frozen).collect();
    cluster.freeze(frozen).await?;
    until_ready(|| cluster.leader_among(&others)).await?;
    for _ in 0..3 {
        store.store().renew(&leases).await?.into_iter().for_each(|outcome| _ = extended(outcome));
        use_once(&store, "one more").await?;
    }
    for _ in 0..3 {
        let store = connect(&cluster.url(&[frozen, others[0]]), &namespace).await?;
        use_once(&store, "one more").await?;
    }
    Ok(())
}

/// Returns the number of keep-alives that each member received.
async fn keep_alives(cluster: &Cluster) -> CaseResult<HashMap<usize, u64>> {
    let mut counts = HashMap::new();
    for member in 0..3 {
        counts.insert(member, metrics::keep_alives(&cluster.address(member)).await?);
    }
    Ok(counts)
}

pub(super) async fn leader_first(_: Arc<Etcd>) -> CaseResult {
    const LEASES: usize = 200;
    let cluster = Cluster::start().await?;
    let namespace = namespace()?;
    let store = connect(&cluster.url(&[0, 1, 2]), &namespace).await?;
    let leases = hold(&store, LEASES).await?;
    let leader = cluster.leader_among(&[0, 1, 2]).await?;
    store.store().renew(&leases).await?.into_iter().for_each(|outcome| _ = extended(outcome));
    let counts = keep_alives(&cluster).await?;
    assert_eq!(counts.values().sum::<u64>(), LEASES as u64, "{counts:?}");
    assert_eq!(counts[&leader], LEASES as u64, "{leader} leads: {counts:?}");
    // If the URL names only a follower, it forwards the requests of several streams.
    let follower = (0..3).find(|member| *member != leader).expect("three members");
    let store = connect(&cluster.url(&[follower]), &namespace).await?;
    store.store().renew(&leases).await?.into_iter().for_each(|outcome| _ = extended(outcome));
    let streams = metrics::streams(&cluster.address(follower)).await?;
    assert!((2..=8).contains(&streams), "{streams} streams");
    // A leader that becomes a follower also serves until the next leader is found.
    let mut raw = cluster.client(leader).await?;
    let status = cluster.client(follower).await?.status().await?;
    let next = status.header().map_or(0, etcd_client::ResponseHeader::member_id);
    raw.move_leader(next).await.map_err(broken)?;
    let store = connect(&cluster.url(&[0, 1, 2]), &namespace).await?;
    until_ready(|| cluster.leader_among(&[0, 1, 2])).await?;
    store.store().renew(&leases).await?.into_iter().for_each(|outcome| _ = extended(outcome));
    Ok(())
}
