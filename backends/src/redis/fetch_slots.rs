//! Reads which node of a cluster owns which slots.

use std::time::Duration;

use ::redis::aio::ConnectionLike;
use ::redis::{Client, ConnectionAddr, Value};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{sleep, timeout};

use super::connect::{self, NODE_CONNECT_TIMEOUT};
use super::error_codes;
use super::slots::SlotMap;
use crate::common::timeout::unanswered;
use crate::{Error, ErrorKind, Result};

/// If a node does not return the slots within this time, the next one is asked too.
const HEDGE_DELAY: Duration = Duration::from_millis(100);

/// Asks one node after the other, without waiting for slow ones; the first answer counts.
///
/// The nodes of the last answer come first, since the URL may name old ones.
pub(super) async fn fetch_slots(seeds: &[Client], last: &SlotMap) -> Result<SlotMap> {
    let seed = seeds.first().ok_or_else(no_seeds)?;
    let mut nodes = Vec::new();
    for address in last.nodes() {
        let client = connect::client_at(seed.get_connection_info(), address);
        nodes.push(client.map_err(error_codes::connecting)?);
    }
    fastrand::shuffle(&mut nodes);
    let known = nodes.len();
    nodes.extend(seeds.iter().cloned());
    fastrand::shuffle(&mut nodes[known..]);
    let mut queries: FuturesUnordered<_> = (0..)
        .zip(&nodes)
        .map(|(at, node)| async move {
            sleep(HEDGE_DELAY * at).await;
            timeout(NODE_CONNECT_TIMEOUT, fetch_slots_from(node)).await.unwrap_or_else(|_| {
                let address = node.get_connection_info().addr();
                let cause = unanswered(ErrorKind::Unavailable, NODE_CONNECT_TIMEOUT);
                Err(error_codes::of_node(address, cause))
            })
        })
        .collect();
    let mut failed = no_seeds();
    while let Some(answer) = queries.next().await {
        match answer {
            Ok(slots) if slots.is_empty() => failed = not_covered(),
            Ok(slots) => return Ok(slots),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn fetch_slots_from(node: &Client) -> Result<SlotMap> {
    let host = match node.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
        _ => "",
    };
    let mut connection = connect::plain(node).await.map_err(error_codes::connecting)?;
    let mut command = ::redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let answer = connection.req_packed_command(&command).await.and_then(Value::extract_error);
    SlotMap::parse(answer.map_err(error_codes::connecting)?, host)
}

pub(super) fn not_covered() -> Error {
    Error::new(ErrorKind::Unavailable, "no node of the cluster serves the slot of this lock")
        .with_fix("see CLUSTER INFO: are all slots assigned?")
}

pub(super) fn no_seeds() -> Error {
    Error::invalid("no cluster node is given")
}
