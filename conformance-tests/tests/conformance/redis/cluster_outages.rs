//! These cases cover a cluster in which a node hangs or is gone.

use std::sync::Arc;
use std::time::Duration;

use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::{CaseResult, Failure};
use leasehold_core::{
    Error, ErrorKind, LeaseId, ListOptions, LockStoreExt, RenewOptions, RenewOutcome,
};
use tokio::time::{Instant, sleep};

use super::Redis;
use super::cluster_nodes::{
    PORTS, primaries, primary_of, slot_of, slots_of, start, start_with, url,
};
use super::nodes::retry_while_transient;
use super::support::{LONG, fresh, name, open};

pub(super) async fn a_failed_shard_loses_no_lease_of_another_shard(
    backend: Arc<Redis>,
) -> CaseResult {
    // There is no failover while the case runs.
    let (nodes, namespace) = (start_with(&backend, LONG).await?, fresh());
    let client = open(&url(&nodes, &PORTS), &namespace).await?;
    let names: Vec<_> = (0..30).map(|number| name(&format!("job {number:02}"))).collect();
    let mut batch = Vec::new();
    for name in &names {
        let taken = client.acquire_free(name, LONG).await?;
        batch.push(RenewOptions::new(name.clone(), taken.lease, LONG));
    }
    let slots = slots_of(&nodes, &namespace, &names).await?;
    let shards = nodes.ask(7001, &["CLUSTER", "NODES"]).await?;
    let owner = |slot: u16| primary_of(&shards, slot);
    let failing = owner(slots[0]).expect("a node has it");
    let at_failing: Vec<_> = slots.iter().map(|slot| owner(*slot) == Some(failing)).collect();
    assert!(at_failing.contains(&false), "all slots are on {failing}");
    let healthy: Vec<_> = batch
        .iter()
        .zip(&at_failing)
        .filter(|(_, at)| !**at)
        .map(|(one, _)| one.name.clone())
        .collect();
    let check = async |what: &str| {
        // On a busy machine a healthy node may exceed its limit from time to time.
        let end = Instant::now() + Duration::from_secs(100);
        loop {
            let renewed = client.store().renew(&batch).await?;
            let mut late = None;
            for ((one, at_failing), lease) in renewed.iter().zip(&at_failing).zip(&batch) {
                match one {
                    RenewOutcome::Extended { .. } => assert!(!at_failing, "{what}: {lease:?}"),
                    RenewOutcome::Unknown { why, .. } if *at_failing => {
                        assert!(why.contains(&format!(":{failing} ")), "{what}: {why}");
                    }
                    RenewOutcome::Unknown { why, .. } => late = Some((lease, why)),
                    other => panic!("{what}: {other:?}"),
                }
            }
            match late {
                None => return CaseResult::Ok(()),
                late => assert!(Instant::now() < end, "{what}: {late:?}"),
            }
        }
    };
    nodes.signal(failing, "STOP").await?;
    for _ in 0..3 {
        check("it hangs").await?;
    }
    // The failure does not hide the names of the other shards either.
    assert_eq!(client.names("").await?, healthy);
    nodes.signal(failing, "CONT").await?;
    let renewed = retry_while_transient(|| async {
        let renewed = client.store().renew(&batch).await?;
        match renewed.iter().find(|one| matches!(one, RenewOutcome::Unknown { .. })) {
            Some(one) => Err(Error::new(ErrorKind::Unavailable, format!("{one:?}"))),
            None => Ok(renewed),
        }
    });
    renewed.await?.into_iter().for_each(|one| _ = extended(one));
    nodes.signal(failing, "KILL").await?;
    for _ in 0..3 {
        check("it has ended").await?;
    }
    assert_eq!(client.names("").await?, healthy);
    Ok(())
}

pub(super) async fn a_store_opens_while_a_shard_has_failed(backend: Arc<Redis>) -> CaseResult {
    // There is no failover while the case runs.
    let (nodes, namespace) = (start_with(&backend, LONG).await?, fresh());
    let shards = nodes.ask(7001, &["CLUSTER", "NODES"]).await?;
    let failing = primary_of(&shards, slot_of(&nodes, &namespace, "").await?);
    let failing = failing.expect("a node has it");
    let elsewhere = async || {
        for number in 0.. {
            let name = name(&format!("job {number}"));
            let slot = slot_of(&nodes, &namespace, name.as_str()).await?;
            if primary_of(&shards, slot) != Some(failing) {
                return CaseResult::Ok(name);
            }
        }
        Err(Failure::new("all names are at one node"))
    };
    let job = elsewhere().await?;
    for signal in ["STOP", "KILL"] {
        nodes.signal(failing, signal).await?;
        let client = open(&url(&nodes, &PORTS), &namespace).await?;
        let taken = client.acquire_free(&job, LONG).await?;
        client.release_held(&taken).await?;
    }
    Ok(())
}

pub(super) async fn a_hanging_primary_is_left_after_a_promotion(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes, &PORTS), &namespace).await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    let slot = slot_of(&nodes, &namespace, "job").await?;
    let before = nodes.ask(7001, &["CLUSTER", "NODES"]).await?;
    let failing = primary_of(&before, slot).expect("a node has it");
    let live_port = PORTS.into_iter().find(|port| *port != failing).expect("there are more");
    let key = format!("{namespace}:lock:job");
    let replica = async || {
        let reply = nodes.ask(live_port, &["CLUSTER", "NODES"]).await?;
        CaseResult::Ok(primary_of(&reply, slot).filter(|primary| *primary != failing))
    };
    // The replica that is promoted has the lease.
    let write = format!("HSET {key} unknown field");
    let reply = nodes.ask_lines(failing, &[write, "WAIT 1 60000".to_owned()]).await?;
    assert_eq!(reply.last().map(String::as_str), Some("1"), "{reply:?}");
    nodes.signal(failing, "STOP").await?;
    while replica().await?.is_none() {
        sleep(Duration::from_millis(100)).await;
    }
    // The first renewal hangs for a second, and then the slots are read again.
    let mut renewed = Vec::new();
    for _ in 0..6 {
        let outcome = client.store().renew_one(&taken.name, taken.lease, LONG).await;
        let is_extended = matches!(outcome, Ok(RenewOutcome::Extended { .. }));
        renewed.push(outcome);
        if is_extended {
            return Ok(());
        }
    }
    Err(Failure::new(format!("the new primary is not found: {renewed:?}")))
}

pub(super) async fn the_store_follows_a_cluster_failover(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes, &PORTS), &namespace).await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    let other = client.acquire_free(&name("other"), LONG).await?;
    let slot = slot_of(&nodes, &namespace, taken.name.as_str()).await?;
    let all = primaries(&nodes, 7001, slot).await?;
    let (failing, _, _) = all.iter().find(|(_, _, has)| *has).expect("a node has the slot");
    nodes.signal(*failing, "KILL").await?;
    let store = client.store();
    extended(retry_while_transient(|| store.renew_one(&taken.name, taken.lease, LONG)).await?);
    let batch = [&taken, &other].map(|t| RenewOptions::new(t.name.clone(), t.lease, LONG));
    let renewed = retry_while_transient(|| async {
        let renewed = store.renew(&batch).await?;
        match renewed.iter().find(|one| matches!(one, RenewOutcome::Unknown { .. })) {
            Some(one) => Err(Error::new(ErrorKind::Unavailable, format!("{one:?}"))),
            None => Ok(renewed),
        }
    });
    renewed.await?.into_iter().for_each(|one| _ = extended(one));
    retry_while_transient(|| store.release(&taken.name, taken.lease)).await?;
    let all_names = ListOptions::default();
    let names = retry_while_transient(|| store.list(&all_names)).await?;
    assert_eq!(names.len(), 2);
    let options = client.options(LeaseId::new(), LONG);
    let next = granted(retry_while_transient(|| store.acquire(&taken.name, &options)).await?);
    assert!(next.token > taken.token);
    Ok(())
}
