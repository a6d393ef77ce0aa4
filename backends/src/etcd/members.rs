//! The members of a cluster: which one is asked, and which one next.
//!
//! The leader is asked where it is known, since the others pass on to it what they are asked, and
//! keep-alives one after the other. A member that has no leader or does not answer is left for
//! another one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error as EtcdError};
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use super::calls::Answer;

/// How long members are given to say which of them leads.
const LOCATE_LIMIT: Duration = Duration::from_secs(1);

/// How often the leader is looked for while nothing fails: it may have changed.
const LOCATE_INTERVAL: Duration = Duration::from_secs(30);

/// The least time between two looks for the leader.
const LOCATE_PAUSE: Duration = Duration::from_secs(1);

/// How often the leader is looked for after a member was left: an election takes a while.
const LOCATE_TRIES: usize = 5;

/// The members that a store may ask.
pub(super) struct Members {
    members: Vec<Member>,
    options: Option<ConnectOptions>,
    /// The index of the one to ask.
    chosen: AtomicUsize,
    /// When the leader was last looked for.
    located: Mutex<Instant>,
}

struct Member {
    /// The URL of one member, or a word for all behind a client of the application's.
    address: String,
    client: OnceCell<Client>,
}

/// What a member says of itself.
#[derive(Debug)]
pub(super) struct Status {
    member: usize,
    pub(super) version: String,
    term: u64,
    leads: bool,
}

impl Members {
    /// The members at those URLs, each of which is connected to when it is asked.
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

    /// Whatever members the application's client has, of which it chooses one for each request.
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

    /// How many others can be asked in place of one.
    pub(super) fn others(&self) -> usize {
        // A client of the application's may have another member, and prefers one with less to do.
        if self.options.is_none() { 1 } else { self.members.len() - 1 }
    }

    /// The member to ask.
    pub(super) fn chosen(self: &Arc<Self>) -> usize {
        if self.members.len() > 1 {
            self.locate_soon(LOCATE_INTERVAL, 1);
        }
        self.chosen.load(Ordering::Relaxed)
    }

    /// The one to ask where that one does not serve.
    pub(super) fn after(&self, member: usize) -> usize {
        match self.chosen.load(Ordering::Relaxed) {
            chosen if chosen != member => chosen,
            _ => (member + 1) % self.members.len(),
        }
    }

    /// The client of that member, which is connected first where it is not.
    pub(super) async fn client(&self, member: usize) -> Answer<Client> {
        let Some(member) = self.members.get(member) else {
            return Err(EtcdError::InvalidArgs("the URL names no member".to_owned()));
        };
        let connect = || Client::connect([member.address.as_str()], self.options.clone());
        member.client.get_or_try_init(connect).await.cloned()
    }

    /// Asks another member from now on, if it is that one that is asked.
    pub(super) fn leave(self: &Arc<Self>, member: usize) {
        let next = (member + 1) % self.members.len();
        let swapped =
            self.chosen.compare_exchange(member, next, Ordering::Relaxed, Ordering::Relaxed);
        if next != member && swapped.is_ok() {
            let left = self.members.get(member).map_or("", |member| member.address.as_str());
            tracing::debug!(member = left, "a member of etcd does not serve, so another is asked");
            self.locate_soon(LOCATE_PAUSE, LOCATE_TRIES);
        }
    }

    /// Looks for the leader in the background, if that was not done for so long.
    fn locate_soon(self: &Arc<Self>, interval: Duration, tries: usize) {
        // A call that is dropped as its runtime ends may be outside of it.
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

    /// Has the leader asked from now on, if it says in time that it is the leader.
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
        // One that was cut off may take itself for the leader of an earlier term.
        let leader = statuses.iter().filter(|said| said.leads).max_by_key(|said| said.term);
        if let Some(leader) = leader {
            self.chosen.store(leader.member, Ordering::Relaxed);
        }
        statuses
    }

    /// The address of the member that said this.
    pub(super) fn address(&self, said: &Status) -> &str {
        self.members.get(said.member).map_or("", |member| member.address.as_str())
    }
}
