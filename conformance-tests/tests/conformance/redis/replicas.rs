//! These cases cover writes that wait for replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leasehold::Settings;
use leasehold_conformance::expect::{already_disabled, extended, granted};
use leasehold_conformance::{CaseResult, Failure, race, spawn};
use leasehold_core::{
    DisableOptions, ErrorKind, LeaseId, LockStoreExt, Reason, RenewOptions, RenewOutcome,
};
use tokio::time::{sleep, timeout};

use super::Redis;
use super::endpoint::Endpoint;
use super::nodes::{Nodes, retry_while_transient};
use super::support::{LONG, fresh, name, open, refusal};

/// Starts a primary at port 7001 and its replica at port 7002.
async fn pair(backend: &Arc<Redis>) -> CaseResult<(Nodes, String)> {
    let nodes = Nodes::new(backend).await?;
    nodes.start(7001, "").await?;
    nodes.start(7002, &format!("--replicaof {} 7001", nodes.host)).await?;
    nodes.until(7001, &["INFO", "replication"], "state=online").await?;
    let url = format!("{}?wait_replicas=1", nodes.url(7001));
    Ok((nodes, url))
}

fn why(outcome: &RenewOutcome) -> &str {
    match outcome {
        RenewOutcome::Unknown { why, .. } => why,
        outcome => panic!("not unknown: {outcome:?}"),
    }
}

pub(super) async fn heartbeats_do_not_wait_behind_grants_that_wait_for_replicas(
    backend: Arc<Redis>,
) -> CaseResult {
    let ((nodes, url), namespace) = (pair(&backend).await?, fresh());
    let client = open(&url, &namespace).await?;
    let taken = client.acquire_free(&name("kept"), LONG).await?;
    let key = format!("{namespace}:lock:kept");
    assert_eq!(nodes.ask(7002, &["EXISTS", &key]).await?, "1", "the replica has it");
    nodes.signal(7002, "STOP").await?;
    // These are more than may wait at the same time.
    let answered = Arc::new(AtomicUsize::new(0));
    let waiting = (0..24).map(|number| {
        let (client, answered) = (client.clone(), Arc::clone(&answered));
        spawn(async move {
            let options = client.options(LeaseId::new(), LONG);
            let acquired = client.store().acquire(&name(&format!("job {number}")), &options).await;
            answered.fetch_add(1, Ordering::SeqCst);
            Ok(acquired)
        })
    });
    let waiting: Vec<_> = waiting.collect();
    // A grant waits for a second, and these wait in three groups: a renewal is answered before
    // them.
    let ttl = Duration::from_secs(2);
    let renewed = client.store().renew_one(&taken.name, taken.lease, ttl).await?;
    assert!(why(&renewed).contains("wait_replicas"), "{renewed:?}");
    assert!(answered.load(Ordering::SeqCst) < waiting.len(), "a renewal waited for grants");
    for (number, waiting) in waiting.into_iter().enumerate() {
        let error = waiting.join().await?.expect_err("the replica hangs");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        let record = client.get(&name(&format!("job {number}"))).await?;
        assert!(record.is_none_or(|record| record.lease.is_none()), "the grant was not released");
    }
    nodes.signal(7002, "CONT").await?;
    nodes.until(7001, &["INFO", "replication"], "state=online").await?;
    retry_while_transient(|| async {
        let options = client.options(LeaseId::new(), LONG);
        client.store().acquire(&name("after"), &options).await
    })
    .await?;
    Ok(())
}

pub(super) async fn a_disable_does_not_wait_behind_grants(backend: Arc<Redis>) -> CaseResult {
    let ((nodes, url), namespace) = (pair(&backend).await?, fresh());
    let client = open(&url, &namespace).await?;
    nodes.signal(7002, "STOP").await?;
    // A grant waits for a second, so most of these time out before they are sent.
    let waiting = (0..100).map(|number| {
        let client = client.clone();
        spawn(async move {
            let options = client.options(LeaseId::new(), LONG);
            Ok(client.store().acquire(&name(&format!("job {number}")), &options).await)
        })
    });
    let waiting: Vec<_> = waiting.collect();
    // The first ones wait at the server after they were granted.
    while client.names("").await?.is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let options = DisableOptions::new(Reason::new("upkeep")?);
    let error = client.store().disable(&name("stopped"), &options).await;
    let error = error.expect_err("no replica has it");
    // The write was sent, and only the replica does not have it.
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
    let record = client.get(&name("stopped")).await?.expect("it is disabled");
    assert!(record.disabled.is_some(), "{record:?}");
    let mut not_sent = 0;
    for waiting in waiting {
        let error = waiting.join().await?.expect_err("the replica hangs").to_string();
        not_sent += u32::from(error.contains("5s") && error.contains("not sent within"));
    }
    assert!(not_sent > 0, "no grant says that it was not sent");
    Ok(())
}

pub(super) async fn connections_that_the_server_closed_are_replaced(
    backend: Arc<Redis>,
) -> CaseResult {
    let ((nodes, url), namespace) = (pair(&backend).await?, fresh());
    for url in [nodes.url(7001), url] {
        let client = open(&url, &namespace).await?;
        // If writes wait for replicas, each of these has its own connection.
        let opened = (0..8).map(|_| {
            let client = client.clone();
            async move {
                let taken = client.acquire_free(&name(&LeaseId::new().to_string()), LONG).await?;
                client.release_held(&taken).await
            }
        });
        race(opened).await?;
        // A restart or an idle timeout closes connections that were idle for a short time.
        sleep(Duration::from_secs(2)).await;
        nodes.ask(7001, &["CLIENT", "KILL", "TYPE", "normal"]).await?;
        let options = client.options(LeaseId::new(), LONG);
        for number in 0..8 {
            let name = name(&format!("job {number}"));
            granted(client.store().acquire(&name, &options).await?);
            client.store().release(&name, options.lease).await?;
        }
        // A renewal is not tested beforehand, but it is sent again.
        let lease = LeaseId::new();
        let taken = client.acquire_free(&name(&lease.to_string()), LONG).await?;
        extended(client.store().renew_one(&taken.name, taken.lease, LONG).await?);
        nodes.ask(7001, &["CLIENT", "KILL", "TYPE", "normal"]).await?;
        extended(client.store().renew_one(&taken.name, taken.lease, LONG).await?);
    }
    Ok(())
}

pub(super) async fn a_renewal_that_no_replica_confirmed_is_unknown(
    backend: Arc<Redis>,
) -> CaseResult {
    let ((nodes, url), namespace) = (pair(&backend).await?, fresh());
    let client = open(&url, &namespace).await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    let of = |lease| RenewOptions::new(taken.name.clone(), lease, LONG);
    let batch = [of(taken.lease), of(LeaseId::new())];
    nodes.signal(7002, "STOP").await?;
    for _ in 0..2 {
        let renewed = client.store().renew(&batch).await?;
        assert!(why(&renewed[0]).contains("0 of 1 replicas"), "{renewed:?}");
        // The report that a lease is lost needs no confirmation by replicas.
        assert_eq!(renewed[1], RenewOutcome::Lost);
    }
    nodes.signal(7002, "CONT").await?;
    let renewed = retry_while_transient(|| async {
        match client.store().renew_one(&taken.name, taken.lease, LONG).await? {
            RenewOutcome::Unknown { why, .. } => {
                Err(leasehold_core::Error::new(ErrorKind::Unavailable, why))
            }
            outcome => Ok(outcome),
        }
    });
    extended(renewed.await?);
    Ok(())
}

pub(super) async fn a_disable_that_no_replica_confirmed_is_unknown(
    backend: Arc<Redis>,
) -> CaseResult {
    let ((nodes, url), namespace) = (pair(&backend).await?, fresh());
    let client = open(&url, &namespace).await?;
    let key = format!("{namespace}:lock:job");
    nodes.signal(7002, "STOP").await?;
    // A repeated disable waits too, although it changes nothing and its connection has written
    // nothing.
    for _ in 0..2 {
        let client = open(&url, &namespace).await?;
        let error = client.disable(&name("job"), "upkeep").await.expect_err("no replica has it");
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
        assert!(format!("{error:?}").contains("wait_replicas"), "{error:?}");
    }
    nodes.signal(7002, "CONT").await?;
    let job = name("job");
    let outcome = retry_while_transient(|| client.disable(&job, "upkeep")).await?;
    assert_eq!(already_disabled(outcome).reason.as_str(), "upkeep");
    assert_eq!(nodes.ask(7002, &["HGET", &key, "disabled_reason"]).await?, "upkeep");
    Ok(())
}

pub(super) async fn a_holder_loses_the_lock_when_its_replicas_are_gone(
    backend: Arc<Redis>,
) -> CaseResult {
    let ((nodes, url), namespace) = (pair(&backend).await?, fresh());
    let client = open(&url, &namespace).await?;
    let settings = Settings::new().ttl(Duration::from_secs(2));
    let user = leasehold_core::Client::builder(Arc::clone(client.store())).settings(settings);
    let user = user.build()?;
    let guard = user.lock("job")?.acquire(Duration::from_secs(20)).await?;
    assert!(guard.is_held());
    nodes.signal(7002, "KILL").await?;
    let lost = timeout(LONG, guard.lost()).await;
    lost.map_err(|_| Failure::new("the holder trusts a primary without replicas"))?;
    assert!(!guard.is_held());
    Ok(())
}

pub(super) async fn a_grant_that_no_replica_confirmed_is_released(
    backend: Arc<Redis>,
) -> CaseResult {
    backend.needs_containers()?;
    let (endpoint, namespace) = (Endpoint::start(backend.image, &[]).await?, fresh());
    let client = open(&format!("{}?wait_replicas=1", endpoint.url()), &namespace).await?;
    let options = client.options(LeaseId::new(), LONG);
    let error = client.store().acquire(&name("job"), &options).await.expect_err("no replica");
    assert!(error.to_string().contains("wait_replicas"), "{error:?}");
    let record = client.get(&name("job")).await?.expect("it was granted");
    assert!(record.lease.is_none(), "{record:?}");
    let (error, details) = refusal("redis+cluster://127.0.0.1:1?wait_replicas=1").await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{details}");
    assert!(details.contains("cluster"), "{details}");
    Ok(())
}
