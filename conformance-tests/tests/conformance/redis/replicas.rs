//! Grants that wait for replicas.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_conformance::expect::extended;
use leasehold_conformance::{CaseResult, spawn};
use leasehold_core::{ErrorKind, LeaseId, LockStoreExt};

use super::Redis;
use super::nodes::Nodes;
use super::own::{LONG, fresh, name, open, refusal};
use super::place::Place;

pub(super) async fn a_grant_waits_for_replicas_and_heartbeats_do_not(
    backend: Arc<Redis>,
) -> CaseResult {
    let (nodes, namespace) = (Nodes::new(&backend).await?, fresh());
    nodes.start(7001, "").await?;
    nodes.start(7002, &format!("--replicaof {} 7001", nodes.host)).await?;
    nodes.until(7001, &["INFO", "replication"], "state=online").await?;
    let url = format!("{}?wait_replicas=1", nodes.url(7001));
    let client = open(&url, &namespace).await?;
    let taken = client.take(&name("kept"), LONG).await?;
    let key = format!("{namespace}:lock:kept");
    assert_eq!(nodes.ask(7002, &["EXISTS", &key]).await?, "1", "the replica has it");
    nodes.signal(7002, "STOP").await?;
    let waiting = (0..12).map(|number| {
        let client = client.clone();
        spawn(async move {
            let options = client.options(LeaseId::new(), LONG);
            Ok(client.store().acquire(&name(&format!("job {number}")), &options).await)
        })
    });
    let waiting: Vec<_> = waiting.collect();
    let (mut slowest, begun) = (Duration::ZERO, Instant::now());
    while begun.elapsed() < Duration::from_millis(1500) {
        let asked = Instant::now();
        extended(client.store().renew_one(&taken.name, taken.lease, LONG).await?);
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(slowest < Duration::from_millis(500), "a heartbeat waited for {slowest:?}");
    for (number, waiting) in waiting.into_iter().enumerate() {
        let error = waiting.join().await?.expect_err("the replica hangs");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(error.to_string().contains("wait_replicas"), "{error}");
        let record = client.get(&name(&format!("job {number}"))).await?;
        assert!(record.is_some_and(|record| record.lease.is_none()), "it was given back");
    }
    nodes.signal(7002, "CONT").await?;
    client.take(&name("after"), LONG).await?;
    Ok(())
}

pub(super) async fn without_replicas_a_grant_is_given_back(backend: Arc<Redis>) -> CaseResult {
    backend.needs_containers()?;
    let (place, namespace) = (Place::start(backend.image, &[]).await?, fresh());
    let client = open(&format!("{}?wait_replicas=1", place.url()), &namespace).await?;
    let options = client.options(LeaseId::new(), LONG);
    let error = client.store().acquire(&name("job"), &options).await.expect_err("no replica");
    assert!(error.to_string().contains("wait_replicas"), "{error:?}");
    let record = client.get(&name("job")).await?.expect("it was granted");
    assert!(record.lease.is_none(), "{record:?}");
    let (error, said) = refusal("redis+cluster://127.0.0.1:1?wait_replicas=1").await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{said}");
    assert!(said.contains("cluster"), "{said}");
    Ok(())
}
