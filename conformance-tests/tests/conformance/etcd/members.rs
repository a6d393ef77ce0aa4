//! These cases cover a cluster of three members, of which one does not serve.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use leasehold_conformance::expect::{extended, granted, held};
use leasehold_conformance::{CaseResult, Client};
use leasehold_core::{LeaseId, LockStoreExt, ReleaseOutcome, RenewOptions, RenewOutcome};
use leasehold_test_servers::catalog::ETCD;
use leasehold_test_servers::{Image, Server, until_ready};
use tokio::time::timeout;

use super::cluster::Cluster;
use super::support::{LIMIT, TTL, connect, name, namespace};
use super::{Etcd, client, metrics};
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

pub(super) async fn a_partitioned_member_fails_no_call(_: Arc<Etcd>) -> CaseResult {
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

pub(super) async fn a_frozen_leader_fails_no_call(_: Arc<Etcd>) -> CaseResult {
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

pub(super) async fn keep_alives_go_to_the_leader(_: Arc<Etcd>) -> CaseResult {
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

/// Three members run in one container, and only the first can be reached from outside.
const THREE: Image = Image {
    command: &[
        "sh",
        "-c",
        "all=m1=http://127.0.0.1:2381,m2=http://127.0.0.1:2382,m3=http://127.0.0.1:2383; \
         for n in 1 2 3; do \
           client=http://127.0.0.1:239$n; [ $n = 1 ] && client=http://0.0.0.0:2379; \
           etcd --name m$n --data-dir /tmp/m$n --initial-cluster $all \
             --initial-advertise-peer-urls http://127.0.0.1:238$n \
             --listen-peer-urls http://127.0.0.1:238$n \
             --listen-client-urls $client --advertise-client-urls $client & \
           echo $! > /tmp/m$n.pid; \
         done; wait",
    ],
    ..ETCD
};

pub(super) async fn a_killed_leader_loses_no_lease(_: Arc<Etcd>) -> CaseResult {
    let server = Server::start(&THREE).await?;
    let mut raw = until_ready(|| client(server.address())).await?;
    let (namespace, url) = (namespace()?, ETCD.url_at(&server.address()));
    let store = connect(&url, &namespace).await?;
    let held_before = store.acquire_free(&name("held"), TTL).await?;
    let disabled = store.acquire_free(&name("disabled"), TTL).await?;
    store.disable(&disabled.name, "upkeep").await?;
    // Clients reach the cluster through the first member, so another one must lead.
    let members = raw.member_list().await.map_err(broken)?;
    let first = members.members().iter().find(|member| member.name() == "m1").expect("m1");
    let mut leader = raw.status().await.map_err(broken)?.leader();
    if leader == first.id() {
        let other = members.members().iter().find(|member| member.id() != first.id());
        leader = other.expect("another member").id();
        raw.move_leader(leader).await.map_err(broken)?;
    }
    let name_of = members.members().iter().find(|member| member.id() == leader);
    let pid = format!("/tmp/{}.pid", name_of.expect("the leader is a member").name());
    server.run(&["sh", "-c", &format!("kill -9 $(cat {pid})")]).await?;
    let renewed =
        until_ready(|| store.store().renew_one(&held_before.name, held_before.lease, TTL));
    extended(renewed.await?);
    let other = connect(&url, &namespace).await?;
    let outcome = other.acquire(&held_before.name, LeaseId::new(), TTL).await?;
    assert_eq!(held(outcome).token, held_before.token);
    let outcome = store.renew(&disabled.name, disabled.lease, TTL).await?;
    assert!(matches!(outcome, RenewOutcome::Disabled { .. }), "{outcome:?}");
    store.release_held(&held_before).await?;
    assert!(other.acquire_free(&held_before.name, TTL).await?.token > disabled.token);
    assert_ne!(raw.status().await.map_err(broken)?.leader(), leader, "the leader was killed");
    Ok(())
}
