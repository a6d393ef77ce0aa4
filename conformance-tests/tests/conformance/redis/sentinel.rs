//! These cases cover sentinels and the failovers that they make.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold_conformance::expect::{extended, granted, held, lost};
use leasehold_conformance::{CaseResult, Client, Failure};
use leasehold_core::{ErrorKind, Hint, HintStream, LeaseId, LockStoreExt};
use tokio::time::{Instant, sleep, timeout};

use super::Redis;
use super::nodes::{Nodes, retry_while_transient};
use super::support::{LONG, fresh, name, open, presence, refusal};

const SENTINELS: [u16; 3] = [7011, 7012, 7013];

/// Starts a primary at 7001, a replica at 7002, and three sentinels that know them as `main`.
async fn start(backend: &Arc<Redis>) -> CaseResult<Nodes> {
    start_with(backend, "", "", &[]).await
}

/// Starts servers and sentinels, with more options for the servers, more lines for the sentinels,
/// and the login for the servers.
async fn start_with(
    backend: &Arc<Redis>,
    options: &str,
    lines: &str,
    login: &[&str],
) -> CaseResult<Nodes> {
    let nodes = Nodes::new(backend).await?;
    nodes.start(7001, options).await?;
    nodes.start(7002, &format!("--replicaof {} 7001 {options}", nodes.host)).await?;
    let ask = [login, &["INFO", "replication"]].concat();
    nodes.until(7001, &ask, "state=online").await?;
    let lines = format!(
        "sentinel monitor main {} 7001 2\nsentinel down-after-milliseconds main 1000\n\
         sentinel failover-timeout main 6000\n{lines}",
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

/// This is the login for servers with a password.
const LOGIN: [&str; 3] = ["-a", "secret", "--no-auth-warning"];

/// Returns a URL with three sentinels, and one that is down.
fn url(nodes: &Nodes) -> String {
    let hosts = [7019].into_iter().chain(SENTINELS).map(|port| nodes.at(port));
    format!("redis+sentinel://{}/main", hosts.collect::<Vec<_>>().join(","))
}

pub(super) async fn the_store_follows_a_sentinel_failover(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes), &namespace).await?;
    let hints = client.watch().await?;
    let kept = client.acquire_free(&name("kept"), LONG).await?;
    nodes.until(7002, &["EXISTS", &format!("{namespace}:lock:kept")], "1").await?;
    // From here on nothing reaches the replica.
    nodes.ask(7002, &["REPLICAOF", "NO", "ONE"]).await?;
    let last = client.acquire_free(&name("lost"), LONG).await?;
    nodes.signal(7001, "KILL").await?;
    let store = client.store();
    // The same client continues on its own, and the holder that lost a grant learns that.
    lost(retry_while_transient(|| store.renew_one(&last.name, last.lease, LONG)).await?);
    extended(retry_while_transient(|| store.renew_one(&kept.name, kept.lease, LONG)).await?);
    let options = client.options(LeaseId::new(), LONG);
    let next = retry_while_transient(|| store.acquire(&last.name, &options)).await?;
    assert!(granted(next).token > last.token);
    let here = presence();
    store.announce(&here, LONG).await?;
    assert_eq!(store.instances().await?.len(), 1);
    store.withdraw(here.holder.instance).await?;
    assert_eq!(store.instances().await?, []);
    hints_continue(&client, hints).await
}

/// Checks that the hints report an interruption, and then changes again.
async fn hints_continue(client: &Client, mut hints: HintStream) -> CaseResult {
    let limit = Duration::from_secs(100);
    let first = timeout(limit, hints.next()).await;
    let first = first.map_err(|_| Failure::new("the watch was not interrupted"))?;
    assert_eq!(first, Some(Hint::Anything));
    let (changed, end) = (name("changed"), Instant::now() + limit);
    while Instant::now() < end {
        client.disable(&changed, "upkeep").await?;
        client.enable(&changed).await?;
        while let Ok(Some(hint)) = timeout(Duration::from_secs(1), hints.next()).await {
            if hint == Hint::Name(changed.clone()) {
                return Ok(());
            }
        }
    }
    Err(Failure::new("the watch does not continue"))
}

pub(super) async fn an_old_primary_that_returns_is_not_used(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let active = open(&url(&nodes), &namespace).await?;
    let idle = open(&url(&nodes), &namespace).await?;
    let first = active.acquire_free(&name("first"), LONG).await?;
    idle.get(&first.name).await?;
    let contended = name("next");
    nodes.signal(7001, "STOP").await?;
    nodes.until(7002, &["ROLE"], "master").await?;
    let options = active.options(LeaseId::new(), LONG);
    let store = active.store();
    let next = retry_while_transient(|| store.acquire(&contended, &options)).await?;
    let next = granted(next);
    nodes.signal(7001, "CONT").await?;
    nodes.until(7001, &["ROLE"], "slave").await?;
    // A connection to the old primary from before is replaced by one to the new primary.
    let options = idle.options(LeaseId::new(), LONG);
    let store = idle.store();
    let refused = retry_while_transient(|| store.acquire(&contended, &options)).await?;
    assert_eq!(held(refused).token, next.token);
    let (error, details) = refusal(&nodes.url(7001)).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{details}");
    assert!(details.contains("replica"), "{details}");
    Ok(())
}

pub(super) async fn a_holder_on_a_partitioned_primary_follows_the_sentinels(
    backend: Arc<Redis>,
) -> CaseResult {
    // The replica and the sentinels have their own user, which is then disabled.
    let options = "--requirepass secret --masteruser peer --masterauth p \
                   --user peer on '>p' '~*' '&*' +@all";
    let lines = "sentinel auth-user main peer\nsentinel auth-pass main p";
    let nodes = start_with(&backend, options, lines, &LOGIN).await?;
    let ask = async |port, words: &[&str]| nodes.ask(port, &[&LOGIN, words].concat()).await;
    let (url, namespace) = (url(&nodes).replace("://", "://:secret@"), fresh());
    let client = open(&url, &namespace).await?;
    let hints = client.watch().await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    let key = format!("{namespace}:lock:job");
    nodes.until(7002, &[&LOGIN[..], &["EXISTS", &key]].concat(), "1").await?;
    for words in [
        &["ACL", "SETUSER", "peer", "off"][..],
        &["CLIENT", "KILL", "USER", "peer"],
        &["CLIENT", "KILL", "TYPE", "replica"],
    ] {
        ask(7001, words).await?;
    }
    nodes.until(7002, &[&LOGIN[..], &["ROLE"]].concat(), "master").await?;
    let expires = ["HGET", &key, "expires_at"];
    let before = ask(7002, &expires).await?;
    // The old primary still accepts writes. The store changes to the new one, which has the lease.
    assert!(ask(7001, &["ROLE"]).await?.starts_with("master"));
    let end = Instant::now() + LONG / 2;
    while ask(7002, &expires).await? == before {
        if Instant::now() > end {
            return Err(Failure::new("the holder stays on the old primary"));
        }
        extended(
            retry_while_transient(|| client.store().renew_one(&taken.name, taken.lease, LONG))
                .await?,
        );
        sleep(Duration::from_millis(100)).await;
    }
    // From now on writes go to the new primary only.
    let at_old = ask(7001, &expires).await?;
    extended(client.store().renew_one(&taken.name, taken.lease, LONG).await?);
    assert_eq!(ask(7001, &expires).await?, at_old);
    let other = open(&url, &namespace).await?;
    let options = other.options(LeaseId::new(), LONG);
    assert_eq!(held(other.store().acquire(&taken.name, &options).await?).token, taken.token);
    // The watch has moved too.
    hints_continue(&client, hints).await
}

pub(super) async fn the_latest_failover_decides_when_sentinels_disagree(
    backend: Arc<Redis>,
) -> CaseResult {
    let nodes = Nodes::new(&backend).await?;
    nodes.start_all(&[7001, 7002], "").await?;
    // The sentinels watch unrelated servers, so they never learn of each other.
    let host = &nodes.host;
    let old = format!("sentinel monitor main {host} 7001 9");
    let new = format!("sentinel monitor main {host} 7002 9\nsentinel config-epoch main 5");
    for (port, lines) in [(7011, &old), (7012, &old), (7013, &new)] {
        nodes.start_sentinel(port, lines).await?;
        nodes.until(port, &["SENTINEL", "MASTER", "main"], "config-epoch").await?;
    }
    let opened_at = async |sentinels: &[u16]| {
        let namespace = fresh();
        let hosts: Vec<_> = sentinels.iter().map(|port| nodes.at(*port)).collect();
        let url = format!("redis+sentinel://{}/main", hosts.join(","));
        let client = open(&url, &namespace).await?;
        client.acquire_free(&name("job"), LONG).await?;
        let key = format!("{namespace}:lock:job");
        for port in [7001, 7002] {
            if nodes.ask(port, &["EXISTS", &key]).await? == "1" {
                return Ok(port);
            }
        }
        Err(Failure::new("the lock is nowhere"))
    };
    for _ in 0..2 {
        assert_eq!(opened_at(&[7011, 7012, 7013]).await?, 7002, "the highest epoch");
        // A sentinel that is down is ignored.
        assert_eq!(opened_at(&[7011, 7019, 7013]).await?, 7002, "the highest epoch");
        assert_eq!(opened_at(&[7011, 7012, 7019]).await?, 7001, "all that answer");
    }
    Ok(())
}

pub(super) async fn sentinel_errors_name_their_cause(backend: Arc<Redis>) -> CaseResult {
    let nodes = Nodes::new(&backend).await?;
    nodes.start(7001, "").await?;
    nodes.start(7002, &format!("--replicaof {} 7001", nodes.host)).await?;
    // One sentinel is never enough to act, although the second server is not a primary.
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
        (at(7011, "other"), ErrorKind::Unavailable, "do not know this service name"),
        (at(7011, "odd"), ErrorKind::Unavailable, "is a replica"),
        (at(7001, "main"), ErrorKind::Unavailable, "not a sentinel"),
        (at(7019, "main"), ErrorKind::Unavailable, "no sentinel is reachable"),
        (at(7012, "main"), ErrorKind::Denied, "sentinel_password"),
        (at(7012, "main?sentinel_password=se-cret"), ErrorKind::Denied, "sentinel_password"),
        (at(7011, "main/99"), ErrorKind::Invalid, "does not exist"),
        (nodes.url(7011), ErrorKind::Unavailable, "redis+sentinel"),
    ] {
        let (error, details) = refusal(&url).await;
        assert_eq!(error.kind(), kind, "{url}: {details}");
        assert!(error.to_string().contains(part), "{url}: {details}");
    }
    Ok(())
}
