//! These helpers start a cluster of three primaries with one replica each, and ask its nodes about
//! slots.

use std::sync::Arc;
use std::time::Duration;

use leasehold_conformance::{CaseResult, Failure};
use leasehold_core::{LockName, Namespace};

use super::Redis;
use super::nodes::Nodes;

pub(super) const PORTS: [u16; 6] = [7001, 7002, 7003, 7004, 7005, 7006];

pub(super) async fn start(backend: &Arc<Redis>) -> CaseResult<Nodes> {
    start_with(backend, Duration::from_secs(2)).await
}

/// Starts a cluster, in which a node that is silent for `node_timeout` counts as failed.
pub(super) async fn start_with(backend: &Arc<Redis>, node_timeout: Duration) -> CaseResult<Nodes> {
    let nodes = Nodes::new(backend).await?;
    let timeout = node_timeout.as_millis();
    let more = format!("--cluster-enabled yes --cluster-node-timeout {timeout} --save ''");
    nodes.start_all(&PORTS, &more).await?;
    let hosts = PORTS.map(|port| nodes.at(port));
    let mut create = vec!["--cluster", "create"];
    create.extend(hosts.iter().map(String::as_str));
    create.extend(["--cluster-replicas", "1", "--cluster-yes"]);
    let reply = nodes.ask(7001, &create).await?;
    if !reply.contains("All 16384 slots covered") {
        return Err(Failure::new(format!("there is no cluster: {reply}")));
    }
    for part in ["cluster_state:ok", "cluster_known_nodes:6"] {
        nodes.until_all(&PORTS, "CLUSTER INFO", part).await?;
    }
    Ok(nodes)
}

pub(super) fn url(nodes: &Nodes, ports: &[u16]) -> String {
    let hosts: Vec<_> = ports.iter().map(|port| nodes.at(*port)).collect();
    format!("redis+cluster://{}", hosts.join(","))
}

/// Returns the port of the primary that has the slot, according to `CLUSTER NODES`.
pub(super) fn primary_of(said: &str, slot: u16) -> Option<u16> {
    primaries_in(said, slot).into_iter().find(|(_, _, has)| *has).map(|(port, ..)| port)
}

/// Returns the ports and ids of the primaries, each with whether it has the slot.
pub(super) async fn primaries(
    nodes: &Nodes,
    ask: u16,
    slot: u16,
) -> CaseResult<Vec<(u16, String, bool)>> {
    Ok(primaries_in(&nodes.ask(ask, &["CLUSTER", "NODES"]).await?, slot))
}

fn primaries_in(reply: &str, slot: u16) -> Vec<(u16, String, bool)> {
    let lines = reply.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
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
pub(super) async fn slots_of(
    nodes: &Nodes,
    namespace: &Namespace,
    names: &[LockName],
) -> CaseResult<Vec<u16>> {
    let line = |name| format!("CLUSTER KEYSLOT \"{namespace}:lock:{name}\"");
    let reply = nodes.ask_lines(7001, &names.iter().map(line).collect::<Vec<_>>()).await?;
    Ok(reply.iter().map(|slot| slot.parse()).collect::<Result<_, _>>()?)
}

pub(super) async fn slot_of(nodes: &Nodes, namespace: &Namespace, name: &str) -> CaseResult<u16> {
    let key = format!("{namespace}:lock:{name}");
    Ok(nodes.ask(7001, &["CLUSTER", "KEYSLOT", &key]).await?.parse()?)
}
