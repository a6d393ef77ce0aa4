//! Chooses which member of a cluster is asked, and which one next.
//!
//! The leader is asked if it is known, since the others forward requests to it, keep-alives even
//! one by one. If a member has no leader or does not answer, another one is asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error as EtcdError};
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use super::calls::Answer;

/// The members have this long to say which of them leads.
const LOCATE_LIMIT: Duration = Duration::from_secs(1);

/// The leader is looked up this often while nothing fails, since it may have changed.
const LOCATE_INTERVAL: Duration = Duration::from_secs(30);

/// The least time between two lookups of the leader.
const LOCATE_PAUSE: Duration = Duration::from_secs(1);

/// After a member failed, the leader is looked up at most this often, since an election takes time.
const LOCATE_TRIES: usize = 5;

/// The members that a store may ask.
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
    client: OnceCell<Client>,
}

/// What a member reports about itself.
#[derive(Debug)]
pub(super) struct Status {
    member: usize,
    pub(super) version: String,
    term: u64,
    leads: bool,
}

impl Members {
    /// Creates the members at those URLs; a connection to each is opened at its first request.
    pub(super) fn new(urls: Vec<String>, options: ConnectOptions) -> Self {
        let chosen = AtomicUsize::new(fastrand::usize(0..urls.len().max(1)));
        let member = |address| Member { address, client: OnceCell::new() };
        Self {
            members: urls.into_iter().map(member).collect(),
            options: Some(options),
            chosen,
            located: Mutex::new(Instant::now()),
        }
    }

    /// Wraps the application's client, which chooses a member for each request itself.
    pub(super) fn behind(client: Client) -> Self {
        let member =
            Member { address: "etcd".to_owned(), client: OnceCell::new_with(Some(client)) };
        Self {
            members: vec![member],
            options: None,
            chosen: AtomicUsize::new(0),
            located: Mutex::new(Instant::now()),
        }
    }

    /// Returns how many other members can be asked in place of one.
    pub(super) fn others(&self) -> usize {
        // The application's client may have another member, and prefers a less busy one.
        if self.options.is_none() { 1 } else { self.members.len() - 1 }
    }

    /// Returns the member to ask.
    pub(super) fn chosen(self: &Arc<Self>) -> usize {
        if self.members.len() > 1 {
            self.locate_soon(LOCATE_INTERVAL, 1);
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

    /// Returns the client of that member, and connects it first if necessary.
    pub(super) async fn client(&self, member: usize) -> Answer<Client> {
        let Some(member) = self.members.get(member) else {
            return Err(EtcdError::InvalidArgs("the URL names no member".to_owned()));
        };
        let connect = || Client::connect([member.address.as_str()], self.options.clone());
        member.client.get_or_try_init(connect).await.cloned()
    }

    /// Asks another member from now on, if the given one is the one that is asked.
    pub(super) fn leave(self: &Arc<Self>, member: usize) {
        let next = (member + 1) % self.members.len();
        let swapped =
            self.chosen.compare_exchange(member, next, Ordering::Relaxed, Ordering::Relaxed);
        if next != member && swapped.is_ok() {
            let left = self.members.get(member).map_or("", |member| member.address.as_str());
            tracing::debug!(
                member = left,
                "an etcd member does not serve requests; asking another one"
            );
            self.locate_soon(LOCATE_PAUSE, LOCATE_TRIES);
        }
    }

    /// Looks up the leader in the background, unless that was done within the interval.
    fn locate_soon(self: &Arc<Self>, interval: Duration, tries: usize) {
        // A call that is dropped when its runtime ends may run outside of any runtime.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut located = self.located.lock().unwrap_or_else(PoisonError::into_inner);
        if located.elapsed() < interval {
            return;
        }
        *located = Instant::now();
        let this = Arc::downgrade(self);
        runtime.spawn(async move {
            for _ in 0..tries {
                let Some(members) = this.upgrade() else { return };
                if members.locate().await.iter().any(|said| said.leads) {
                    return;
                }
                drop(members);
                sleep(LOCATE_PAUSE).await;
            }
        });
    }

    /// Makes the leader the member that is asked, if it answers in time that it leads.
    pub(super) async fn locate(&self) -> Vec<Status> {
        let statuses = (0..self.members.len()).map(async |member| {
            let asked = async { self.client(member).await?.status().await };
            let said = timeout(LOCATE_LIMIT, asked).await.ok()?.ok()?;
            let id = said.header().map_or(0, etcd_client::ResponseHeader::member_id);
            Some(Status {
                member,
                version: said.version().to_owned(),
                term: said.raft_term(),
                leads: id != 0 && id == said.leader(),
            })
        });
        let statuses: Vec<_> = join_all(statuses).await.into_iter().flatten().collect();
        // A member that was cut off may still believe that it leads an earlier term.
        let leader = statuses.iter().filter(|said| said.leads).max_by_key(|said| said.term);
        if let Some(leader) = leader {
            self.chosen.store(leader.member, Ordering::Relaxed);
        }
        statuses
    }

    /// Returns the address of the member that reported this.
    pub(super) fn address(&self, said: &Status) -> &str {
        self.members.get(said.member).map_or("", |member| member.address.as_str())
    }
}
