//! The nodes of a cluster, with a connection to each primary, so that a primary that fails or hangs
//! does not delay calls to the others.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::{Client, RedisError, Value};
use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout};

use super::address::Address;
use super::connect::{self, NODE_CONNECT_TIMEOUT};
use super::error_codes;
use super::fetch_slots::{fetch_slots, no_seeds, not_covered};
use super::primary::Primary;
use super::request::Request;
use super::shared_connection::{BatchFailure, SharedConnection};
use super::slots::{self, SlotMap};
use super::topology::ServerLocator;
use crate::common::timeout::CALL_LIMIT;
use crate::{Error, Result};

/// A request follows its slot to another node at most this often, each time after this pause.
const MAX_REDIRECTS: u32 = 10;
const REDIRECT_PAUSE: Duration = Duration::from_millis(50);

/// The slots are not read again within this time.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_millis(200);

pub(super) struct Cluster {
    /// The nodes that the URL names.
    seeds: Vec<Client>,
    state: Mutex<ClusterState>,
    /// The time when the slots were last read; locked while they are read.
    refreshing: tokio::sync::Mutex<Option<Instant>>,
    refresh_planned: AtomicBool,
}

#[derive(Default)]
struct ClusterState {
    slots: Arc<SlotMap>,
    connections: HashMap<Address, Arc<SharedConnection>>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Client>) -> Self {
        Self {
            seeds,
            state: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            refresh_planned: AtomicBool::new(false),
        }
    }

    /// Runs one request at the node that stores its key.
    pub(super) async fn call(self: &Arc<Self>, request: Request) -> Result<Value> {
        let owner = self.slots().await?.owner(slots::slot(request.key())).cloned();
        let Some(owner) = owner else { return Err(not_covered()) };
        let mut answers = self.at_node(&owner, &[request]).await;
        answers.pop().unwrap_or_else(|| Err(no_answer(&owner)))
    }

    /// Runs many requests, those of each node in one round trip, and returns an answer for each.
    ///
    /// Each node must answer within the time that `limit` computes from its latency. The answers of
    /// a node that hangs are errors; those of the others are returned.
    pub(super) async fn call_all(
        self: &Arc<Self>,
        requests: Vec<Request>,
        limit: impl Fn(Duration) -> Duration,
    ) -> Result<Vec<Result<Value>>> {
        let slots = self.slots().await?;
        let count = requests.len();
        let mut by_node = BTreeMap::<&Address, Vec<(u16, usize, Request)>>::new();
        for (at, request) in requests.into_iter().enumerate() {
            let slot = slots::slot(request.key());
            if let Some(owner) = slots.owner(slot) {
                by_node.entry(owner).or_default().push((slot, at, request));
            }
        }
        let batches = by_node.into_iter().map(|(owner, mut requests)| {
            let owner = owner.clone();
            // Requests can share a command if they follow each other and their slot is the same.
            requests.sort_by_key(|(slot, ..)| *slot);
            let (indexes, requests): (Vec<_>, Vec<_>) =
                requests.into_iter().map(|(_, at, request)| (at, request)).unzip();
            let limit = limit(
                self.connection(&owner).map_or(Duration::ZERO, |connection| connection.latency()),
            );
            let this = Arc::clone(self);
            async move {
                let node = owner.clone();
                // This runs in a separate task, so that the latency of a slow node is measured
                // even after the limit.
                let task = tokio::spawn(async move { this.at_node(&node, &requests).await });
                let answers = match timeout(limit, task).await {
                    Ok(Ok(answers)) => answers,
                    Ok(Err(_)) | Err(_) => {
                        // Another node may have been promoted to replace it.
                        self.plan_refresh();
                        let error = missing_reply(&owner, BatchFailure::Unanswered(limit));
                        vec![Err(error); indexes.len()]
                    }
                };
                (indexes, answers)
            }
        });
        let mut all: Vec<_> = (0..count).map(|_| None).collect();
        for (indexes, answers) in join_all(batches).await {
            for (at, answer) in indexes.into_iter().zip(answers) {
                all[at] = Some(answer);
            }
        }
        Ok(all.into_iter().map(|one| one.unwrap_or_else(|| Err(not_covered()))).collect())
    }

    /// Returns a connection to each primary.
    pub(super) async fn primaries(self: &Arc<Self>) -> Result<Vec<Primary>> {
        let slots = self.refreshed().await?;
        let primary = |address: &Address| {
            Ok(Primary { connection: self.connection(address)?, node: Some(address.clone()) })
        };
        slots.primaries().into_iter().map(primary).collect()
    }

    async fn at_node(self: &Arc<Self>, node: &Address, requests: &[Request]) -> Vec<Result<Value>> {
        let sent = match self.connection(node) {
            Ok(connection) => connection.send(requests, None).await,
            Err(error) => Err(BatchFailure::Connecting(error)),
        };
        match sent {
            Ok((replies, _)) => {
                let mut answers = Vec::with_capacity(replies.len());
                let mut followed = Vec::new();
                for (at, (request, reply)) in requests.iter().zip(replies).enumerate() {
                    match reply {
                        Ok(value) => answers.push(Ok(value)),
                        Err(cause) => {
                            answers.push(Err(no_answer(node)));
                            followed.push(async move {
                                (at, self.follow(node.clone(), request, cause).await)
                            });
                        }
                    }
                }
                for (at, answer) in join_all(followed).await {
                    answers[at] = answer;
                }
                answers
            }
            Err(failed) => {
                self.plan_refresh();
                let error = missing_reply(node, failed);
                requests.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    /// Follows a slot that moved, or is moving, to another node. This node did not run the request.
    async fn follow(
        self: &Arc<Self>,
        mut node: Address,
        request: &Request,
        mut cause: RedisError,
    ) -> Result<Value> {
        for _ in 0..MAX_REDIRECTS {
            let code = cause.code().unwrap_or_default().to_owned();
            let to = cause.redirect_node().and_then(|(text, slot)| {
                slots::redirected(text, &node.host).map(|address| (address, slot))
            });
            let sent = match (code.as_str(), to) {
                ("MOVED", Some((address, slot))) => {
                    self.update_slots(slot, &address);
                    self.plan_refresh();
                    if address == node {
                        sleep(REDIRECT_PAUSE).await;
                    }
                    node = address;
                    self.connection(&node)?.send(std::slice::from_ref(request), None).await
                }
                ("ASK", Some((address, _))) => {
                    let reply = self.connection(&address)?.send_asking(request).await;
                    reply.map(|reply| (vec![reply], None))
                }
                ("TRYAGAIN", _) => {
                    sleep(REDIRECT_PAUSE).await;
                    self.connection(&node)?.send(std::slice::from_ref(request), None).await
                }
                _ => break,
            };
            let (mut replies, _) = sent.map_err(|failed| missing_reply(&node, failed))?;
            cause = match replies.pop() {
                Some(Ok(value)) => return Ok(value),
                Some(Err(cause)) => cause,
                None => return Err(no_answer(&node)),
            };
        }
        if error_codes::is_of_connection(&cause) || cause.code() == Some("CLUSTERDOWN") {
            self.plan_refresh();
        }
        Err(error_codes::calling(cause))
    }

    fn connection(&self, address: &Address) -> Result<Arc<SharedConnection>> {
        let mut state = self.state();
        if let Some(connection) = state.connections.get(address) {
            return Ok(Arc::clone(connection));
        }
        let seed = self.seeds.first().ok_or_else(no_seeds)?;
        let client = connect::client_at(seed.get_connection_info(), address);
        let server = ServerLocator::Direct(Box::new(client.map_err(error_codes::connecting)?));
        let connection = Arc::new(SharedConnection::new(server, NODE_CONNECT_TIMEOUT, true));
        state.connections.insert(address.clone(), Arc::clone(&connection));
        Ok(connection)
    }

    fn update_slots(&self, slot: u16, owner: &Address) {
        let mut state = self.state();
        Arc::make_mut(&mut state.slots).set_owner(slot, owner.clone());
    }

    async fn slots(self: &Arc<Self>) -> Result<Arc<SlotMap>> {
        let slots = Arc::clone(&self.state().slots);
        if slots.is_empty() { self.refreshed().await } else { Ok(slots) }
    }

    /// Reads the slots soon, in a separate task.
    fn plan_refresh(self: &Arc<Self>) {
        if self.refresh_planned.swap(true, Ordering::SeqCst) {
            return;
        }
        let planned = RefreshGuard(Arc::clone(self));
        tokio::spawn(async move {
            if let Err(error) = planned.0.refreshed().await {
                tracing::debug!(%error, "no node of the cluster returns the slots");
            }
        });
    }

    /// Reads the slots, unless they were read just now.
    async fn refreshed(self: &Arc<Self>) -> Result<Arc<SlotMap>> {
        let mut latest = self.refreshing.lock().await;
        if let Some(at) = *latest {
            let slots = Arc::clone(&self.state().slots);
            if !slots.is_empty() && at.elapsed() < MIN_REFRESH_INTERVAL {
                return Ok(slots);
            }
        }
        let last = Arc::clone(&self.state().slots);
        let found = fetch_slots(&self.seeds, &last).await;
        *latest = Some(Instant::now());
        let slots = Arc::new(found?);
        let mut state = self.state();
        state.slots = Arc::clone(&slots);
        let nodes = slots.nodes();
        state.connections.retain(|address, _| nodes.contains(address));
        Ok(slots)
    }

    fn state(&self) -> MutexGuard<'_, ClusterState> {
        self.state.lock()
    }
}

/// Allows the slots to be read again, even when the task is cancelled.
struct RefreshGuard(Arc<Cluster>);

impl Drop for RefreshGuard {
    fn drop(&mut self) {
        self.0.refresh_planned.store(false, Ordering::SeqCst);
    }
}

fn missing_reply(node: &Address, failed: BatchFailure) -> Error {
    error_codes::of_node(node, Error::from(failed))
}

fn no_answer(node: &Address) -> Error {
    missing_reply(node, BatchFailure::Unanswered(CALL_LIMIT))
}
