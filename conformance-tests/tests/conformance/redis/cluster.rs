//! These cases cover a cluster of three primaries with one replica each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::{CaseResult, Client, Failure, spawn};
use leasehold_core::{Hint, LeaseId, LockName, Presence, PruneOptions, RenewOptions, RenewOutcome};
use tokio::time::timeout;

use super::Redis;
use super::cluster_nodes::{PORTS, primaries, slot_of, slots_of, start, url};
use super::nodes::Nodes;
use super::support::{LONG, fresh, name, open, presence};

/// Returns how often the servers have read something from a client so far.
async fn reads(nodes: &Nodes) -> CaseResult<u64> {
    let mut sum = 0;
    for port in PORTS {
        let reply = nodes.ask(port, &["INFO", "stats"]).await?;
        let reads = reply.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
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

pub(super) async fn locks_work_in_all_slots_of_a_cluster(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes, &[7001]), &namespace).await?;
    let mut names: Vec<_> = (0..296).map(|number| name(&format!("job {number:03}"))).collect();
    names.extend(["{a}", "{a}b", "a{a}}", "{}"].map(name));
    let (mut batch, mut slots) = (Vec::new(), BTreeSet::new());
    for name in &names {
        let taken = client.acquire_free(name, LONG).await?;
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

pub(super) async fn instances_on_all_nodes_are_listed(backend: Arc<Redis>) -> CaseResult {
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
    let reply = nodes.ask_lines(7001, &announced.iter().map(line).collect::<Vec<_>>()).await?;
    let slots: Result<BTreeSet<_>, _> =
        reply.iter().map(|slot| slot.parse::<u16>().map(|slot| slot / (16384 / 3))).collect();
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

pub(super) async fn the_store_follows_a_moved_slot(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes, &PORTS[..3]), &namespace).await?;
    let (here, there) = (name("{slot} here"), name("{slot} there"));
    let taken = client.acquire_free(&here, LONG).await?;
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
    // Neither node has both keys, so each refuses a command with both.
    let batch = [(&here, taken.lease), (&there, options.lease)];
    let batch = batch.map(|(name, lease)| RenewOptions::new(name.clone(), lease, LONG));
    for outcome in client.store().renew(&batch).await? {
        extended(outcome);
    }
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
    client.release_held(&taken).await?;
    assert!(client.acquire_free(&here, LONG).await?.token > taken.token);
    Ok(())
}

pub(super) async fn names_of_all_shards_are_pruned(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (start(&backend).await?, fresh());
    let client = open(&url(&nodes, &[7001]), &namespace).await?;
    let mut names: Vec<_> = (0..25).map(|number| name(&format!("job {number:02}"))).collect();
    for name in &names {
        let taken = client.acquire_free(name, LONG).await?;
        if name.as_str() != "job 07" {
            client.release_held(&taken).await?;
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
