//! Chooses the member of a cluster to which a request is sent, and the next one if it fails.
//!
//! Requests go to the leader if it is known, since the other members forward requests to it, and
//! keep-alives only one by one. If a member has no leader or does not answer, another one is used.
//!
//! Each runtime that calls the store has its own connection to a member. If no reply comes over a
//! connection although one is due, later requests use a new one: the network may have dropped the
//! old one silently. If a reply comes over the old one after all, it is used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error as EtcdError};
use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{self, Connection};
use super::error_codes::RequestResult;
use super::limits::UNUSED_LIMIT;

/// The members have this long to report which of them is the leader.
const LOCATE_LIMIT: Duration = Duration::from_secs(1);

/// The leader is looked up at this interval while nothing fails, since it may have changed.
const LOCATE_INTERVAL: Duration = Duration::from_secs(30);

/// The minimum time between two lookups of the leader.
const LOCATE_PAUSE: Duration = Duration::from_secs(1);

/// After a member failed, the leader is looked up at most this many times, since an election takes
/// time.
const LOCATE_TRIES: usize = 5;

/// The members to which a store may send requests.
pub(super) struct Members {
    members: Vec<Member>,
    options: Option<ConnectOptions>,
    /// The index of the member to ask.
    chosen: AtomicUsize,
    /// The time when the leader was last looked up.
    located: Mutex<Instant>,
}

struct Member {
    /// The URL of one member, or a fixed word for all members behind the application's client.
    address: String,
    /// The connection of each runtime, or the application's client.
    connections: Mutex<Vec<Arc<Connection>>>,
}

impl Member {
    fn new(address: String, connections: Vec<Arc<Connection>>) -> Self {
        Self { address, connections: Mutex::new(connections) }
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.connections.lock()
    }

    /// Returns the connection of this runtime.
    fn connection(&self) -> Arc<Connection> {
        let runtime = connection::current_runtime();
        let mut connections = self.connections();
        connections.retain(|it| it.is_of(runtime) || !it.is_unused_for(UNUSED_LIMIT));
        let found = connections.iter().find(|it| it.is_of(runtime)).cloned();
        let connection = found.unwrap_or_else(|| {
            let new = Arc::new(Connection::new());
            connections.push(Arc::clone(&new));
            new
        });
        connection.used();
        connection
    }
}

/// A member and the connection to it.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) member: usize,
    connection: Arc<Connection>,
    since: Instant,
}

impl Target {
    /// Returns the same target for a request that was sent at that time.
    pub(super) fn sent(&self, since: Instant) -> Self {
        Self { since, ..self.clone() }
    }

    /// Returns whether the latest reply over this connection came less than that long ago.
    pub(super) fn answered_within(&self, limit: Duration) -> bool {
        self.connection.answered_within(limit)
    }

    fn is_same_connection(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.connection, &other.connection)
    }
}

/// What a member reports about itself.
#[derive(Debug)]
pub(super) struct MemberStatus {
    member: usize,
    pub(super) version: String,
    term: u64,
    leads: bool,
}

impl Members {
    /// Creates the members at those URLs; a connection to each is opened at its first request.
    pub(super) fn new(urls: Vec<String>, options: ConnectOptions) -> Self {
        let chosen = AtomicUsize::new(fastrand::usize(0..urls.len().max(1)));
        let member = |address| Member::new(address, Vec::new());
        Self {
            members: urls.into_iter().map(member).collect(),
            options: Some(options),
            chosen,
            located: Mutex::new(Instant::now()),
        }
    }

    /// Wraps the application's client, which chooses a member for each request itself.
    pub(super) fn of_application(client: Client) -> Self {
        let connection = Arc::new(Connection::of_application(client));
        let member = Member::new("etcd".to_owned(), vec![connection]);
        Self {
            members: vec![member],
            options: None,
            chosen: AtomicUsize::new(0),
            located: Mutex::new(Instant::now()),
        }
    }

    /// Returns how many other members can be used instead of one.
    pub(super) fn others(&self) -> usize {
        // The application's client may know another member, and prefers a less busy one.
        if self.options.is_none() { 1 } else { self.members.len() - 1 }
    }

    /// Returns how often a request that changes nothing may be sent again while it is unanswered:
    /// to each other member, and to the first one over a new connection.
    pub(super) fn max_hedges(&self) -> usize {
        if self.options.is_none() { 1 } else { self.members.len() }
    }

    /// Returns the member to ask.
    pub(super) fn chosen(self: &Arc<Self>) -> usize {
        if self.members.len() > 1 {
            self.spawn_locate(LOCATE_INTERVAL, 1);
        }
        self.chosen.load(Ordering::Relaxed)
    }

    /// Returns the member to ask if the given one does not serve.
    pub(super) fn after(&self, member: usize) -> usize {
        match self.chosen.load(Ordering::Relaxed) {
            chosen if chosen != member => chosen,
            _ => (member + 1) % self.members.len(),
        }
    }

    /// Returns the connection over which this runtime sends requests to that member.
    pub(super) fn target(&self, member: usize) -> Target {
        let connection = match self.members.get(member) {
            Some(it) if self.options.is_none() => it.connections().first().cloned(),
            Some(it) => Some(it.connection()),
            None => None,
        };
        let connection = connection.unwrap_or_else(|| Arc::new(Connection::new()));
        Target { member, connection, since: Instant::now() }
    }

    /// Returns the connection over which an unanswered request is sent again, if there is one. A
    /// request is not sent twice because a connection is slow, only because it is silent.
    pub(super) fn alternative(&self, target: &Target) -> Option<Target> {
        let next = self.target(self.after(target.member));
        let is_same = next.member == target.member && next.is_same_connection(target);
        // The application's client may send it to another member.
        (!is_same || self.options.is_none()).then_some(next)
    }

    /// Returns the client for a target, and connects it first if necessary.
    pub(super) async fn client(&self, target: &Target) -> RequestResult<Client> {
        let Some(member) = self.members.get(target.member) else {
            return Err(EtcdError::InvalidArgs("the URL names no member".to_owned()));
        };
        target.connection.client(&member.address, self.options.as_ref()).await
    }

    /// Notes that a reply came over a connection, which is used from now on.
    pub(super) fn record_reply(&self, target: &Target, after: Duration) {
        target.connection.record_reply(after);
        if self.options.is_none() {
            return;
        }
        let Some(member) = self.members.get(target.member) else { return };
        let runtime = connection::current_runtime();
        if !target.connection.is_of(runtime) {
            return;
        }
        let mut connections = member.connections();
        if connections.iter().any(|it| Arc::ptr_eq(it, &target.connection)) {
            return;
        }
        connections.retain(|it| !it.is_of(runtime));
        connections.push(Arc::clone(&target.connection));
    }

    /// Notes that no reply came in time: another member is used from now on. If no reply at all
    /// came over this connection, the next request to this member uses a new one.
    pub(super) fn mark_stalled(self: &Arc<Self>, target: &Target, silence_limit: Duration) {
        self.use_another(target.member);
        self.forget_if_silent(target, silence_limit);
    }

    fn forget_if_silent(&self, target: &Target, silence_limit: Duration) {
        if self.options.is_some()
            && target.connection.is_silent(target.since, silence_limit)
            && let Some(member) = self.members.get(target.member)
        {
            member.connections().retain(|it| !Arc::ptr_eq(it, &target.connection));
        }
    }

    /// Returns whether requests from this runtime go to that member over that connection.
    pub(super) fn is_current(self: &Arc<Self>, target: &Target) -> bool {
        self.chosen() == target.member && self.target(target.member).is_same_connection(target)
    }

    /// Uses another member from now on, if the given one is currently used.
    pub(super) fn use_another(self: &Arc<Self>, member: usize) {
        let next = (member + 1) % self.members.len();
        let swapped =
            self.chosen.compare_exchange(member, next, Ordering::Relaxed, Ordering::Relaxed);
        if next != member && swapped.is_ok() {
            let left = self.members.get(member).map_or("", |member| member.address.as_str());
            tracing::debug!(member = left, "an etcd member does not respond; trying another one");
            self.spawn_locate(LOCATE_PAUSE, LOCATE_TRIES);
        }
    }

    /// Looks up the leader in the background, unless that was done within the interval.
    fn spawn_locate(self: &Arc<Self>, interval: Duration, tries: usize) {
        // A call that is dropped when its runtime ends may run outside of any runtime.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut located = self.located.lock();
        if located.elapsed() < interval {
            return;
        }
        *located = Instant::now();
        let this = Arc::downgrade(self);
        runtime.spawn(async move {
            for _ in 0..tries {
                let Some(members) = this.upgrade() else { return };
                if members.locate().await.iter().any(|status| status.leads) {
                    return;
                }
                drop(members);
                sleep(LOCATE_PAUSE).await;
            }
        });
    }

    /// Chooses the leader, if a member reports in time that it is the leader.
    pub(super) async fn locate(&self) -> Vec<MemberStatus> {
        let statuses = (0..self.members.len()).map(async |member| {
            let target = self.target(member);
            let call = async { self.client(&target).await?.status().await };
            let Ok(status) = timeout(LOCATE_LIMIT, call).await else {
                self.forget_if_silent(&target, LOCATE_LIMIT);
                return None;
            };
            let status = status.ok()?;
            self.record_reply(&target, target.since.elapsed());
            let id = status.header().map_or(0, etcd_client::ResponseHeader::member_id);
            Some(MemberStatus {
                member,
                version: status.version().to_owned(),
                term: status.raft_term(),
                leads: id != 0 && id == status.leader(),
            })
        });
        let statuses: Vec<_> = join_all(statuses).await.into_iter().flatten().collect();
        // A member that was cut off may still believe that it leads an earlier term.
        let leader = statuses.iter().filter(|status| status.leads).max_by_key(|status| status.term);
        if let Some(leader) = leader {
            self.chosen.store(leader.member, Ordering::Relaxed);
        }
        statuses
    }

    /// Returns the address of the member that reported this.
    pub(super) fn address(&self, status: &MemberStatus) -> &str {
        self.members.get(status.member).map_or("", |member| member.address.as_str())
    }
}
