//! These cases cover the etcd leases that a store keeps for its next attempts.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client as Raw, KeyValue, LeaseStatus};
use leasehold_conformance::expect::{extended, granted, held};
use leasehold_conformance::{CaseResult, Failure};
use leasehold_core::{LeaseId, Namespace};
use leasehold_test_servers::catalog::ETCD;
use leasehold_test_servers::{LinkBehaviour, Proxy, Server, until_ready};
use tokio::time::{Instant, sleep, timeout};

use super::support::{LIMIT, TTL, connect, name, namespace};
use super::{Etcd, client, metrics, start_server};
use crate::broken::broken;

const REPEATS: u64 = 20;

/// If a keep-alive takes longer than a second, a new etcd lease is created. On a busy machine that
/// may happen a few times.
const FEW: u64 = REPEATS / 4;

/// An etcd lease that is not kept is revoked within this time.
const UNTIL_REVOKED: Duration = Duration::from_secs(4);

/// A request whose caller gave up has this long to arrive.
const ARRIVAL: Duration = Duration::from_secs(3);

async fn ids(raw: &mut Raw) -> CaseResult<Vec<i64>> {
    let leases = raw.leases().await.map_err(broken)?;
    Ok(leases.leases().iter().map(LeaseStatus::id).collect())
}

/// Returns the etcd lease of a lock that is held.
async fn attached(raw: &mut Raw, namespace: &Namespace, lock: &str) -> CaseResult<Option<i64>> {
    let found = raw.get(format!("/{namespace}/lease/{lock}"), None).await.map_err(broken)?;
    Ok(found.kvs().first().map(KeyValue::lease))
}

async fn until_none_is_left(raw: &mut Raw) -> CaseResult {
    let begun = Instant::now();
    while !ids(raw).await?.is_empty() {
        assert!(begun.elapsed() < LIMIT, "an etcd lease is left");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn grants_and_revokes(server: &Server) -> CaseResult<(u64, u64)> {
    let address = server.address();
    let grants = metrics::requests(&address, "LeaseGrant").await?;
    Ok((grants, metrics::requests(&address, "LeaseRevoke").await?))
}

pub(super) async fn one_etcd_lease_serves_lock_after_lock(_: Arc<Etcd>) -> CaseResult {
    let server = start_server().await?;
    let store = connect(&ETCD.url_at(&server.address()), &namespace()?).await?;
    let mut last = store.acquire_free(&name("first"), TTL).await?;
    store.release_held(&last).await?;
    let before = grants_and_revokes(&server).await?;
    for number in 0..REPEATS {
        // The names do not matter, and tokens grow although the etcd lease is the same.
        let next = store.acquire_free(&name(&format!("job {}", number % 2)), TTL).await?;
        assert!(next.token > last.token, "{:?} after {:?}", next.token, last.token);
        extended(store.renew(&next.name, next.lease, TTL).await?);
        store.release_held(&next).await?;
        last = next;
    }
    sleep(UNTIL_REVOKED).await;
    let (grants, revokes) = grants_and_revokes(&server).await?;
    assert!(grants - before.0 <= FEW, "{} etcd leases were created", grants - before.0);
    assert!(revokes - before.1 <= FEW, "{} etcd leases were revoked", revokes - before.1);
    Ok(())
}

pub(super) async fn refused_attempts_share_one_etcd_lease(_: Arc<Etcd>) -> CaseResult {
    let server = start_server().await?;
    let (url, namespace) = (ETCD.url_at(&server.address()), namespace()?);
    let (holder, waiter) = (connect(&url, &namespace).await?, connect(&url, &namespace).await?);
    let names: Vec<_> = (0..REPEATS).map(|number| name(&format!("job {number}"))).collect();
    for name in &names {
        holder.acquire_free(name, TTL).await?;
    }
    let before = grants_and_revokes(&server).await?;
    for name in &names {
        held(waiter.acquire(name, LeaseId::new(), TTL).await?);
    }
    sleep(UNTIL_REVOKED).await;
    let (grants, revokes) = grants_and_revokes(&server).await?;
    assert!(grants - before.0 <= 1 + FEW, "{} etcd leases were created", grants - before.0);
    assert!(revokes - before.1 <= FEW, "{} etcd leases were revoked", revokes - before.1);
    Ok(())
}

pub(super) async fn a_kept_etcd_lease_is_extended_when_it_is_used(
    backend: Arc<Etcd>,
) -> CaseResult {
    let namespace = namespace()?;
    let store = connect(backend.url(), &namespace).await?;
    let mut raw = client(backend.address()).await.map_err(broken)?;
    let taken = store.acquire_free(&name("job"), TTL).await?;
    store.release_held(&taken).await?;
    // Without an extension, at least this time would be missing.
    sleep(Duration::from_secs(3)).await;
    let begun = Instant::now();
    let again = store.acquire_free(&name("job"), TTL).await?;
    let lease = attached(&mut raw, &namespace, "job").await?.unwrap_or_default();
    let live = raw.lease_time_to_live(lease, None).await.map_err(broken)?;
    // etcd rounds down to whole seconds.
    let left = Duration::from_secs(u64::try_from(live.ttl())? + 1);
    assert!(left + begun.elapsed() >= again.left, "{left:?} is left of {:?}", again.left);
    Ok(())
}

pub(super) async fn a_kept_etcd_lease_that_was_revoked_is_replaced(_: Arc<Etcd>) -> CaseResult {
    let server = start_server().await?;
    let mut raw = client(server.address()).await.map_err(broken)?;
    let store = connect(&ETCD.url_at(&server.address()), &namespace()?).await?;
    let mut last = store.acquire_free(&name("job"), TTL).await?;
    store.release_held(&last).await?;
    for _ in 0..3 {
        for id in ids(&mut raw).await? {
            raw.lease_revoke(id).await.map_err(broken)?;
        }
        let next = store.acquire_free(&name("job"), TTL).await?;
        assert!(next.token > last.token, "{:?} after {:?}", next.token, last.token);
        extended(store.renew(&next.name, next.lease, TTL).await?);
        store.release_held(&next).await?;
        last = next;
    }
    Ok(())
}

pub(super) async fn kept_etcd_leases_end_with_their_store(_: Arc<Etcd>) -> CaseResult {
    let server = start_server().await?;
    let mut raw = client(server.address()).await.map_err(broken)?;
    let store = connect(&ETCD.url_at(&server.address()), &namespace()?).await?;
    for job in ["one", "two"] {
        let taken = store.acquire_free(&name(job), TTL).await?;
        store.release_held(&taken).await?;
    }
    assert!(!ids(&mut raw).await?.is_empty(), "no etcd lease is kept");
    drop(store);
    until_none_is_left(&mut raw).await
}

pub(super) async fn an_etcd_lease_of_another_store_is_not_kept(_: Arc<Etcd>) -> CaseResult {
    let server = start_server().await?;
    let mut raw = client(server.address()).await.map_err(broken)?;
    let (url, namespace) = (ETCD.url_at(&server.address()), namespace()?);
    let (one, other) = (connect(&url, &namespace).await?, connect(&url, &namespace).await?);
    let taken = one.acquire_free(&name("job"), TTL).await?;
    other.release_held(&taken).await?;
    until_none_is_left(&mut raw).await
}

/// If the outcome of an attempt is unknown, its keys may appear later. Another lock on the same etcd
/// lease would then keep them for as long as it is held.
pub(super) async fn an_etcd_lease_of_an_unknown_attempt_is_not_kept(
    backend: Arc<Etcd>,
) -> CaseResult {
    for _ in 0..5 {
        // On a busy machine the connection may have been idle, and a write then waits for a reply.
        if unknown_attempt(&backend).await? {
            return Ok(());
        }
    }
    Err(Failure::new("the store never writes on the connection that it has"))
}

/// Returns whether the request of the attempt without a reply reached the server.
async fn unknown_attempt(backend: &Etcd) -> CaseResult<bool> {
    let namespace = namespace()?;
    let mut raw = client(backend.address()).await.map_err(broken)?;
    let proxy = Proxy::start(&backend.address()).await.map_err(broken)?;
    let store = connect(&ETCD.url_at(&proxy.address()), &namespace).await?;
    let first = store.acquire_free(&name("first"), TTL).await?;
    let kept = attached(&mut raw, &namespace, "first").await?;
    store.release_held(&first).await?;
    proxy.set(LinkBehaviour::SwallowReplies);
    let (lost, request) = (name("lost"), store.options(LeaseId::new(), TTL));
    let unknown = timeout(Duration::from_secs(2), store.store().acquire(&lost, &request)).await;
    assert!(unknown.is_err(), "{unknown:?} without a reply");
    let begun = Instant::now();
    while attached(&mut raw, &namespace, "lost").await?.is_none() {
        if begun.elapsed() >= ARRIVAL {
            return Ok(false);
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(attached(&mut raw, &namespace, "lost").await?, kept);
    proxy.set(LinkBehaviour::Pass);
    let (next, request) = (name("next"), store.options(LeaseId::new(), TTL));
    granted(until_ready(|| store.store().acquire(&next, &request)).await?);
    assert_ne!(attached(&mut raw, &namespace, "next").await?, kept);
    Ok(true)
}
