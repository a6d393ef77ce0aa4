//! Sentinels, and the failovers that they make.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold_conformance::expect::{extended, granted, held, lost};
use leasehold_conformance::{CaseResult, Failure, spawn};
use leasehold_core::{ErrorKind, Hint, LeaseId, LockStoreExt};
use tokio::time::timeout;

use super::Redis;
use super::nodes::{Nodes, patiently};
use super::own::{LONG, fresh, name, open, presence, refusal};

const SENTINELS: [u16; 3] = [7011, 7012, 7013];

/// A primary at 7001, a replica at 7002, and three sentinels that know them as `main`.
async fn start(backend: &Arc<Redis>) -> CaseResult<Nodes> {
    let nodes = Nodes::new(backend).await?;
    nodes.start(7001, "").await?;
    nodes.start(7002, &format!("--replicaof {} 7001", nodes.host)).await?;
    nodes.until(7001, &["INFO", "replication"], "state=online").await?;
    let lines = format!(
        "sentinel monitor main {} 7001 2\nsentinel down-after-milliseconds main 1000\n\
         sentinel failover-timeout main 6000",
        nodes.host
    );
    for port in SENTINELS {
        nodes.start_sentinel(port, &lines).await?;
    }
    for port in SENTINELS {
        let ask = ["SENTINEL", "MASTER", "main"];
        nodes.until(port, &ask, "num-other-sentinels\n2").await?;
        nodes.until(port, &ask, "num-slaves\n1").await?;
    }
    Ok(nodes)
}

/// By three sentinels, and one that is down.
fn url(nodes: &Nodes) -> String {
    let hosts = [7019].into_iter().chain(SENTINELS).map(|port| nodes.at(port));
    format!("redis+sentinel://{}/main", hosts.collect::<Vec<_>>().join(","))
}

pub(super) async fn a_failover_by_sentinels_is_survived(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes), &namespace).await?;
    let mut hints = client.watch().await?;
    let hinted = spawn(async move { Ok(hints.next().await) });
    let kept = client.take(&name("kept"), LONG).await?;
    nodes.until(7002, &["EXISTS", &format!("{namespace}:lock:kept")], "1").await?;
    // From here on nothing reaches the replica.
    nodes.ask(7002, &["REPLICAOF", "NO", "ONE"]).await?;
    let last = client.take(&name("lost"), LONG).await?;
    nodes.signal(7001, "KILL").await?;
    let store = client.store();
    // The same client goes on by itself, and whoever lost a grant is told so.
    lost(patiently(|| store.renew_one(&last.name, last.lease, LONG)).await?);
    extended(patiently(|| store.renew_one(&kept.name, kept.lease, LONG)).await?);
    let options = client.options(LeaseId::new(), LONG);
    let next = patiently(|| store.acquire(&last.name, &options)).await?;
    assert!(granted(next).token > last.token);
    let here = presence();
    store.announce(&here, LONG).await?;
    assert_eq!(store.instances().await?.len(), 1);
    store.withdraw(here.holder.instance).await?;
    assert_eq!(store.instances().await?, []);
    let hint = timeout(Duration::from_secs(100), hinted.join()).await;
    let hint = hint.map_err(|_| Failure::new("the watch is dead"))??;
    assert_eq!(hint, Some(Hint::Anything));
    Ok(())
}

pub(super) async fn an_old_primary_that_comes_back_is_left(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let active = open(&url(&nodes), &namespace).await?;
    let idle = open(&url(&nodes), &namespace).await?;
    let first = active.take(&name("first"), LONG).await?;
    idle.get(&first.name).await?;
    let contended = name("next");
    nodes.signal(7001, "STOP").await?;
    nodes.until(7002, &["ROLE"], "master").await?;
    let options = active.options(LeaseId::new(), LONG);
    let store = active.store();
    let next = patiently(|| store.acquire(&contended, &options)).await?;
    let next = granted(next);
    nodes.signal(7001, "CONT").await?;
    nodes.until(7001, &["ROLE"], "slave").await?;
    // A connection to the old primary from before leads to the new one.
    let options = idle.options(LeaseId::new(), LONG);
    let store = idle.store();
    let refused = patiently(|| store.acquire(&contended, &options)).await?;
    assert_eq!(held(refused).token, next.token);
    let (error, said) = refusal(&nodes.url(7001)).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{said}");
    assert!(said.contains("replica"), "{said}");
    Ok(())
}

pub(super) async fn what_is_wrong_with_sentinels_is_named(backend: Arc<Redis>) -> CaseResult {
    let nodes = Nodes::new(&backend).await?;
    nodes.start(7001, "").await?;
    nodes.start(7002, &format!("--replicaof {} 7001", nodes.host)).await?;
    // Alone, it is never enough to do anything about a server that is none.
    let host = &nodes.host;
    let lines = format!("sentinel monitor main {host} 7001 9\nsentinel monitor odd {host} 7002 9");
    nodes.start_sentinel(7011, &lines).await?;
    nodes.start_sentinel(7012, &format!("{lines}\nrequirepass secret")).await?;
    nodes.until(7011, &["SENTINEL", "MASTERS"], "odd").await?;
    nodes.until(7012, &["-a", "secret", "SENTINEL", "MASTERS"], "odd").await?;
    let at = |port, rest: &str| format!("redis+sentinel://{}/{rest}", nodes.at(port));
    open(&at(7011, "main"), &fresh()).await?;
    open(&at(7012, "main?sentinel_password=secret"), &fresh()).await?;
    for (url, kind, part) in [
        (at(7011, "other"), ErrorKind::Unavailable, "no service of that name"),
        (at(7011, "odd"), ErrorKind::Unavailable, "is a replica"),
        (at(7001, "main"), ErrorKind::Unavailable, "no sentinel"),
        (at(7019, "main"), ErrorKind::Unavailable, "no sentinel can be asked"),
        (at(7012, "main"), ErrorKind::Denied, "sentinel_password"),
        (at(7012, "main?sentinel_password=se-cret"), ErrorKind::Denied, "sentinel_password"),
        (at(7011, "main/99"), ErrorKind::Invalid, "no database"),
        (nodes.url(7011), ErrorKind::Unavailable, "redis+sentinel"),
    ] {
        let (error, said) = refusal(&url).await;
        assert_eq!(error.kind(), kind, "{url}: {said}");
        assert!(error.to_string().contains(part), "{url}: {said}");
    }
    Ok(())
}
