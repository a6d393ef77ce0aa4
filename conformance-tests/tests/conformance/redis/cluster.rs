//! These cases cover a cluster of three primaries with one replica each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::{CaseResult, Client, Failure, spawn};
use leasehold_core::{
    Error, ErrorKind, Hint, LeaseId, ListOptions, LockName, LockStoreExt, Namespace, Presence,
    PruneOptions, RenewOptions, RenewOutcome,
};
use tokio::time::{Instant, sleep, timeout};

use super::Redis;
use super::nodes::{Nodes, retry_while_transient};
use super::support::{LONG, fresh, name, open, presence};

const PORTS: [u16; 6] = [7001, 7002, 7003, 7004, 7005, 7006];

async fn start(backend: &Arc<Redis>) -> CaseResult<Nodes> {
    start_with(backend, Duration::from_secs(2)).await
}

/// Starts a cluster, in which a node that is silent for `node_timeout` counts as failed.
async fn start_with(backend: &Arc<Redis>, node_timeout: Duration) -> CaseResult<Nodes> {
    let nodes = Nodes::new(backend).await?;
    let timeout = node_timeout.as_millis();
    let more = format!("--cluster-enabled yes --cluster-node-timeout {timeout} --save ''");
    nodes.start_all(&PORTS, &more).await?;
    let hosts = PORTS.map(|port| nodes.at(port));
    let mut create = vec!["--cluster", "create"];
    create.extend(hosts.iter().map(String::as_str));
    create.extend(["--cluster-replicas", "1", "--cluster-yes"]);
    let said = nodes.ask(7001, &create).await?;
    if !said.contains("All 16384 slots covered") {
        return Err(Failure::new(format!("there is no cluster: {said}")));
    }
    for part in ["cluster_state:ok", "cluster_known_nodes:6"] {
        nodes.until_all(&PORTS, "CLUSTER INFO", part).await?;
    }
    Ok(nodes)
}

fn url(nodes: &Nodes, ports: &[u16]) -> String {
    let hosts: Vec<_> = ports.iter().map(|port| nodes.at(*port)).collect();
    format!("redis+cluster://{}", hosts.join(","))
}

/// Returns the port of the primary that has the slot, according to `CLUSTER NODES`.
fn primary_of(said: &str, slot: u16) -> Option<u16> {
    primaries_in(said, slot).into_iter().find(|(_, _, has)| *has).map(|(port, ..)| port)
}

/// Returns the ports and ids of the primaries, each with whether it has the slot.
async fn primaries(nodes: &Nodes, ask: u16, slot: u16) -> CaseResult<Vec<(u16, String, bool)>> {
    Ok(primaries_in(&nodes.ask(ask, &["CLUSTER", "NODES"]).await?, slot))
}

fn primaries_in(said: &str, slot: u16) -> Vec<(u16, String, bool)> {
    let lines = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let primary = |words: &Vec<&str>| words[2].contains("master") && !words[2].contains("fail");
    let one = |words: Vec<&str>| {
        let address = words[1].split('@').next()?;
        let port = address.rsplit(':').next()?.parse().ok()?;
        let has = words[8..].iter().any(|range| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            from.parse().is_ok_and(|from: u16| from <= slot)
                && to.parse().is_ok_and(|to: u16| slot <= to)
        });
        Some((port, words[0].to_owned(), has))
    };
    lines.filter(primary).filter_map(one).collect()
}

/// Returns the slot of each name, with one request for all.
async fn slots_of(
    nodes: &Nodes,
    namespace: &Namespace,
    names: &[LockName],
) -> CaseResult<Vec<u16>> {
    let line = |name| format!("CLUSTER KEYSLOT \"{namespace}:lock:{name}\"");
    let said = nodes.ask_lines(7001, &names.iter().map(line).collect::<Vec<_>>()).await?;
    Ok(said.iter().map(|slot| slot.parse()).collect::<Result<_, _>>()?)
}

async fn slot_of(nodes: &Nodes, namespace: &Namespace, name: &str) -> CaseResult<u16> {
    let key = format!("{namespace}:lock:{name}");
    Ok(nodes.ask(7001, &["CLUSTER", "KEYSLOT", &key]).await?.parse()?)
}

/// Returns how often the servers have read something from a client so far.
async fn reads(nodes: &Nodes) -> CaseResult<u64> {
    let mut sum = 0;
    for port in PORTS {
        let said = nodes.ask(port, &["INFO", "stats"]).await?;
        let reads = said.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
        sum += reads.unwrap_or_default().trim().parse::<u64>()?;
    }
    Ok(sum)
}

async fn hint_of(
    client: &Client,
    wanted: LockName,
) -> CaseResult<impl Future<Output = CaseResult>> {
    let mut hints = client.watch().await?;
    let hinted = spawn(async move {
        while let Some(hint) = hints.next().await {
            if hint == Hint::Name(wanted.clone()) {
                return Ok(());
            }
        }
        Err(Failure::new("the watch ended"))
    });
    Ok(async move {
        let hinted = timeout(Duration::from_secs(100), hinted.join()).await;
        hinted.map_err(|_| Failure::new("no hint comes"))?
    })
}

pub(super) async fn a_cluster_serves_all_slots(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes, &[7001]), &namespace).await?;
    let mut names: Vec<_> = (0..296).map(|number| name(&format!("job {number:03}"))).collect();
    names.extend(["{a}", "{a}b", "a{a}}", "{}"].map(name));
    let (mut batch, mut slots) = (Vec::new(), BTreeSet::new());
    for name in &names {
        let taken = client.take(name, LONG).await?;
        batch.push(RenewOptions::new(name.clone(), taken.lease, LONG));
    }
    slots.extend(slots_of(&nodes, &namespace, &names[..20]).await?);
    assert!(slots.len() > 5, "they are in one slot");
    // All commands are sent without waiting for each other, because a server reads several at once.
    let mut least = u64::MAX;
    // On a busy machine they may be sent in more parts.
    for _ in 0..40 {
        if least < 100 {
            break;
        }
        let before = reads(&nodes).await?;
        let renewed = client.store().renew(&batch).await?;
        // A node that is slow from time to time exceeds its limit.
        if renewed.iter().all(|one| matches!(one, RenewOutcome::Extended { .. })) {
            least = least.min(reads(&nodes).await? - before);
        }
    }
    println!("{}: {least} reads for 300 renewals at 3 nodes", backend.image.name);
    assert!(least < 100, "the servers read {least} times for 300 renewals");
    names.sort();
    assert_eq!(client.names("").await?, names);
    assert_eq!(client.names("{a}").await?.len(), 2);
    // The lock and the listener may be on any node.
    for port in PORTS {
        let listener = open(&url(&nodes, &[port]), &namespace).await?;
        let mut hinted = Vec::new();
        let some = batch.split_off(batch.len() - 6);
        for one in &some {
            hinted.push(hint_of(&listener, one.name.clone()).await?);
        }
        for one in &some {
            client.release(&one.name, one.lease).await?;
        }
        for hinted in hinted {
            hinted.await?;
        }
    }
    Ok(())
}

pub(super) async fn instances_are_known_of_all_nodes(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes, &[7001]), &namespace).await?;
    let mut announced = Vec::new();
    for _ in 0..30 {
        let here = presence();
        client.store().announce(&here, LONG).await?;
        announced.push(here);
    }
    let line =
        |here: &Presence| format!("CLUSTER KEYSLOT {namespace}:instance:{}", here.holder.instance);
    let said = nodes.ask_lines(7001, &announced.iter().map(line).collect::<Vec<_>>()).await?;
    let slots: Result<BTreeSet<_>, _> =
        said.iter().map(|slot| slot.parse::<u16>().map(|slot| slot / (16384 / 3))).collect();
    let slots = slots?;
    assert!(slots.len() > 1, "they are all at one node");
    let known = client.store().instances().await?;
    let known: Vec<_> = known.into_iter().map(|record| record.presence).collect();
    announced.sort_by_key(|here| here.holder.instance);
    assert_eq!(known, announced);
    for here in announced {
        client.store().withdraw(here.holder.instance).await?;
    }
    assert_eq!(client.store().instances().await?, []);
    Ok(())
}

pub(super) async fn a_slot_that_moves_is_followed(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes, &PORTS[..3]), &namespace).await?;
    let (here, there) = (name("{slot} here"), name("{slot} there"));
    let taken = client.take(&here, LONG).await?;
    let slot = slot_of(&nodes, &namespace, here.as_str()).await?;
    let all = primaries(&nodes, 7001, slot).await?;
    let (from, from_id, _) = all.iter().find(|(_, _, has)| *has).expect("a node has the slot");
    let (to, to_id, _) = all.iter().find(|(_, _, has)| !has).expect("a node does not have it");
    let slot = slot.to_string();
    let renew = || client.renew(&here, taken.lease, LONG);
    nodes.ask(*to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", from_id]).await?;
    nodes.ask(*from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", to_id]).await?;
    // A key that has not moved is served where it is, and a key that does not exist yet is created
    // on the other node.
    extended(renew().await?);
    let options = client.options(LeaseId::new(), LONG);
    let other = granted(client.store().acquire(&there, &options).await?);
    let key = format!("{namespace}:lock:{here}");
    let port = to.to_string();
    nodes.ask(*from, &["MIGRATE", &nodes.host, &port, &key, "0", "5000"]).await?;
    extended(renew().await?);
    for port in [*to, *from] {
        nodes.ask(port, &["CLUSTER", "SETSLOT", &slot, "NODE", to_id]).await?;
    }
    extended(renew().await?);
    let again = granted(client.store().acquire(&there, &options).await?);
    assert_eq!(again.token, other.token);
    nodes.until(7001, &["CLUSTER", "NODES"], to_id).await?;
    client.give_back(&taken).await?;
    assert!(client.take(&here, LONG).await?.token > taken.token);
    Ok(())
}

pub(super) async fn a_shard_that_hangs_or_is_gone_costs_no_other_its_leases(
    backend: Arc<Redis>,
) -> CaseResult {
    // There is no failover while the case runs.
    let (nodes, namespace) = (start_with(&backend, LONG).await?, fresh());
    let client = open(&url(&nodes, &PORTS), &namespace).await?;
    let names: Vec<_> = (0..30).map(|number| name(&format!("job {number:02}"))).collect();
    let mut batch = Vec::new();
    for name in &names {
        let taken = client.take(name, LONG).await?;
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
        check("it is gone").await?;
    }
    assert_eq!(client.names("").await?, healthy);
    Ok(())
}

pub(super) async fn a_store_opens_while_a_shard_hangs_or_is_gone(
    backend: Arc<Redis>,
) -> CaseResult {
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
        let taken = client.take(&job, LONG).await?;
        client.give_back(&taken).await?;
    }
    Ok(())
}

pub(super) async fn a_primary_that_hangs_is_left_once_another_is_promoted(
    backend: Arc<Redis>,
) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes, &PORTS), &namespace).await?;
    let taken = client.take(&name("job"), LONG).await?;
    let slot = slot_of(&nodes, &namespace, "job").await?;
    let before = nodes.ask(7001, &["CLUSTER", "NODES"]).await?;
    let failing = primary_of(&before, slot).expect("a node has it");
    let asked = PORTS.into_iter().find(|port| *port != failing).expect("there are more");
    let key = format!("{namespace}:lock:job");
    let replica = async || {
        let said = nodes.ask(asked, &["CLUSTER", "NODES"]).await?;
        CaseResult::Ok(primary_of(&said, slot).filter(|primary| *primary != failing))
    };
    // The replica that is promoted has the lease.
    let write = format!("HSET {key} unknown field");
    let said = nodes.ask_lines(failing, &[write, "WAIT 1 60000".to_owned()]).await?;
    assert_eq!(said.last().map(String::as_str), Some("1"), "{said:?}");
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

pub(super) async fn names_of_all_shards_are_pruned(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes, &[7001]), &namespace).await?;
    let mut names: Vec<_> = (0..25).map(|number| name(&format!("job {number:02}"))).collect();
    for name in &names {
        let taken = client.take(name, LONG).await?;
        if name.as_str() != "job 07" {
            client.give_back(&taken).await?;
        }
    }
    names.remove(7);
    let mut page =
        PruneOptions::default().with_unused_for(Duration::ZERO).with_limit(10).with_dry_run(false);
    let mut pruned = Vec::new();
    loop {
        let found = client.store().prune(&page).await?;
        page.after = found.last().cloned();
        pruned.extend(found);
        if page.after.is_none() {
            break;
        }
    }
    assert_eq!(pruned, names);
    assert_eq!(client.names("").await?, [name("job 07")]);
    Ok(())
}

pub(super) async fn a_failover_in_a_cluster_is_survived(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes, &PORTS), &namespace).await?;
    let taken = client.take(&name("job"), LONG).await?;
    let other = client.take(&name("other"), LONG).await?;
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
