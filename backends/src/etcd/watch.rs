//! Reports hints from a watch of etcd.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use etcd_client::{Event, EventType, WatchFilterType, WatchOptions, WatchStream};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep, timeout};

use super::client::EtcdClient;
use super::error_codes;
use super::keys::{Family, Keys};
use super::limits::STALL_TIMEOUT;
use super::members::Target;
use super::own_queues::OwnQueues;
use super::queue_hints;
use crate::common::timeout::CALL_LIMIT;
use crate::shell::{Hints, RecentRefusals};
use crate::{Error, ErrorKind, Hint, LockName, Result};

/// After a watch was silent for this long, the server is asked for its progress, and has the same
/// time to answer.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// The stream has this many watches.
const WATCHES: u32 = 3;

/// A member has at most this long to open a watch.
const OPEN_LIMIT: Duration = Duration::from_secs(4);

/// All members together have this long, which is a little less than a call may take.
const OPEN_ALL_LIMIT: Duration = CALL_LIMIT.saturating_sub(Duration::from_secs(1));

/// Opens the watch and reports changes until it breaks.
///
/// A name that changed is no longer expected to be refused, so that the next attempt at it is sent
/// at once.
pub(super) async fn watch_once(
    client: &EtcdClient,
    keys: &Keys,
    refusals: &RecentRefusals,
    queues: &OwnQueues,
    hints: &Hints,
) -> Result<()> {
    let OpenWatch { stream, member } = open_somewhere(client, keys).await?;
    hints.listening();
    let report = |hint: Hint| {
        if let Hint::Name(name) = &hint {
            refusals.forget(name);
        }
        hints.send(hint);
    };
    let broken = follow(stream, client, keys, queues, report).await;
    client.members().use_another(member);
    broken
}

/// Opens the watch at the first member that serves it.
async fn open_somewhere(client: &EtcdClient, keys: &Keys) -> Result<OpenWatch> {
    let others = client.members().others();
    let limit = limit_each(others + 1);
    for _ in 0..others {
        if let Ok(watching) = open(client, keys, limit).await {
            return Ok(watching);
        }
    }
    open(client, keys, limit).await
}

/// Returns how long each of that many members has to open a watch.
fn limit_each(members: usize) -> Duration {
    let members = u32::try_from(members).unwrap_or(u32::MAX).max(1);
    (OPEN_ALL_LIMIT / members).min(OPEN_LIMIT)
}

/// An open watch is a stream with three watches, and the member that serves it.
struct OpenWatch {
    stream: WatchStream,
    member: usize,
}

/// Opens three watches: one for leases that end, one for entries of queues that end, and one for
/// names that are disabled or enabled. If the member does not serve them, another one is used from
/// now on.
async fn open(client: &EtcdClient, keys: &Keys, limit: Duration) -> Result<OpenWatch> {
    let members = client.members();
    let target = members.target(members.chosen());
    match timeout(limit, open_at(client, keys, &target)).await {
        Ok(Ok(stream)) => Ok(OpenWatch { stream, member: target.member }),
        Ok(Err(error)) => {
            members.use_another(target.member);
            Err(error)
        }
        Err(_) => {
            members.mark_stalled(&target, STALL_TIMEOUT);
            let message = format!("no member opened a watch within {limit:?}");
            Err(Error::new(ErrorKind::Unavailable, message))
        }
    }
}

async fn open_at(client: &EtcdClient, keys: &Keys, target: &Target) -> Result<WatchStream> {
    let mut client = client.members().client(target).await.map_err(error_codes::reading)?;
    let ends = |family| {
        WatchOptions::new().with_range(keys.end(family, "")).with_filters([WatchFilterType::NoPut])
    };
    let switched = WatchOptions::new().with_range(keys.end(Family::Disabled, ""));
    let mut watching = client
        .watch(keys.start(Family::Lease, ""), Some(ends(Family::Lease)))
        .await
        .map_err(error_codes::reading)?;
    watching
        .watch(keys.start(Family::Entry, ""), Some(ends(Family::Entry)))
        .await
        .map_err(error_codes::reading)?;
    watching
        .watch(keys.start(Family::Disabled, ""), Some(switched))
        .await
        .map_err(error_codes::reading)?;
    let mut created = 0;
    while created < WATCHES {
        let message = watching.message().await.map_err(error_codes::reading)?;
        let message = message.ok_or_else(|| ended("etcd ended the watch"))?;
        if message.canceled() {
            return Err(canceled(message.cancel_reason()));
        }
        created += u32::from(message.created());
    }
    Ok(watching)
}

fn ended(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

fn canceled(reason: &str) -> Error {
    let kind = match reason {
        reason if reason.contains("permission denied") => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("etcd refused the watch: {reason}"))
}

/// Reports the events of the stream until it breaks. The stream is always read: otherwise the
/// events that etcd sends would fill the flow-control window of the connection, which all calls
/// share.
///
/// The queues in which entries ended are read at the same time.
async fn follow(
    mut watching: WatchStream,
    client: &EtcdClient,
    keys: &Keys,
    queues: &OwnQueues,
    report: impl Fn(Hint),
) -> Result<()> {
    let mut reads: FuturesUnordered<BoxFuture<'_, Hint>> = FuturesUnordered::new();
    let (mut silent_since, mut progress_requested) = (Instant::now(), false);
    // The timer is not set again by each message, which would delay the message.
    let mut check = pin!(sleep(PROGRESS_TIMEOUT));
    loop {
        let message = tokio::select! {
            biased;
            message = watching.message() => message.map_err(error_codes::reading)?,
            Some(hint) = reads.next() => {
                report(hint);
                continue;
            }
            () = &mut check => {
                if silent_since.elapsed() >= PROGRESS_TIMEOUT {
                    if progress_requested {
                        return Err(ended("the watch does not respond"));
                    }
                    progress_requested = true;
                    watching.request_progress().await.map_err(error_codes::reading)?;
                    silent_since = Instant::now();
                }
                check.as_mut().reset(silent_since + PROGRESS_TIMEOUT);
                continue;
            }
        };
        let message = message.ok_or_else(|| ended("etcd ended the watch"))?;
        if message.canceled() {
            return Err(canceled(message.cancel_reason()));
        }
        (silent_since, progress_requested) = (Instant::now(), false);
        let mut shorter = BTreeSet::new();
        for event in message.events() {
            match change(keys, event) {
                Some(Change::Hinted(hint)) => report(hint),
                Some(Change::EntryEnded(name)) => _ = shorter.insert(name),
                None => {}
            }
        }
        for name in shorter {
            // Without an entry of this store, nobody here waits in the queue.
            if queues.has_entry(&name) {
                reads.push(queue_hints::read(client, keys, name).boxed());
            } else {
                report(Hint::Name(name));
            }
        }
    }
}

/// A change is what an event means for waiters.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Hinted(Hint),
    /// An entry left the queue of this name, or expired.
    EntryEnded(LockName),
}

/// Returns what an event means for waiters; `None` for a grant and for a new entry.
fn change(keys: &Keys, event: &Event) -> Option<Change> {
    let hint = match keys.parse(event.kv()?.key()) {
        Some((Family::Lease | Family::Entry, _)) if event.event_type() == EventType::Put => {
            return None;
        }
        Some((family, name)) => match LockName::new(name) {
            Ok(name) if family == Family::Entry => return Some(Change::EntryEnded(name)),
            name => name.map_or(Hint::Anything, Hint::Name),
        },
        None => Hint::Anything,
    };
    Some(Change::Hinted(hint))
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::{PbEvent, PbKeyValue};

    use super::*;
    use crate::{LeaseId, Namespace};

    #[test]
    fn only_the_end_of_a_lease_or_an_entry_means_something() {
        let keys = Keys::new("", &Namespace::new("a").unwrap());
        let name = LockName::new("x").unwrap();
        let of = |key: Vec<u8>, event: EventType| {
            let kv = Some(PbKeyValue { key, ..PbKeyValue::default() });
            change(&keys, &Event(PbEvent { r#type: event as i32, kv, prev_kv: None }))
        };
        let hinted = || Some(Change::Hinted(Hint::Name(name.clone())));
        let (lease, entry) = (keys.key(Family::Lease, &name), keys.entry(&name, LeaseId::new()));
        assert_eq!(of(lease.clone(), EventType::Put), None);
        assert_eq!(of(lease, EventType::Delete), hinted());
        assert_eq!(of(entry.clone(), EventType::Put), None);
        assert_eq!(of(entry, EventType::Delete), Some(Change::EntryEnded(name.clone())));
        for event in [EventType::Put, EventType::Delete] {
            assert_eq!(of(keys.key(Family::Disabled, &name), event), hinted());
        }
    }

    #[test]
    fn opening_on_all_members_fits_the_call_limit() {
        for members in 1..=9 {
            let all = limit_each(members) * u32::try_from(members).unwrap();
            assert!(all < CALL_LIMIT, "{members} members have {all:?}");
            assert!(limit_each(members) >= STALL_TIMEOUT, "{members} members");
        }
    }
}
