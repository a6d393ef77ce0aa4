//! Reports hints from a watch of etcd.

use std::pin::pin;
use std::time::Duration;

use etcd_client::{Event, EventType, WatchFilterType, WatchOptions, WatchStream};
use tokio::time::{Instant, sleep, timeout};

use super::client::EtcdClient;
use super::error_codes;
use super::keys::{Family, Keys};
use super::limits::STALL_TIMEOUT;
use super::members::Target;
use crate::common::timeout::CALL_LIMIT;
use crate::shell::{Hints, RecentRefusals};
use crate::{Error, ErrorKind, Hint, LockName, Result};

/// After a watch was silent for this long, the server is asked for its progress, and has the same
/// time to answer.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);

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
    let broken = follow(stream, keys, report).await;
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

/// A stream with two watches, and the member that serves it.
struct OpenWatch {
    stream: WatchStream,
    member: usize,
}

/// Opens two watches: one for leases that end, one for names that are disabled or enabled. If the
/// member does not serve them, another one is used from now on.
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
    let ends = WatchOptions::new()
        .with_range(keys.end(Family::Lease, ""))
        .with_filters([WatchFilterType::NoPut]);
    let switched = WatchOptions::new().with_range(keys.end(Family::Disabled, ""));
    let mut watching = client
        .watch(keys.start(Family::Lease, ""), Some(ends))
        .await
        .map_err(error_codes::reading)?;
    watching
        .watch(keys.start(Family::Disabled, ""), Some(switched))
        .await
        .map_err(error_codes::reading)?;
    let mut created = 0;
    while created < 2 {
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
async fn follow(mut watching: WatchStream, keys: &Keys, report: impl Fn(Hint)) -> Result<()> {
    let (mut silent_since, mut progress_requested) = (Instant::now(), false);
    // The timer is not set again by each message, which would delay the message.
    let mut check = pin!(sleep(PROGRESS_TIMEOUT));
    loop {
        let message = tokio::select! {
            biased;
            message = watching.message() => message.map_err(error_codes::reading)?,
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
        message.events().iter().filter_map(|event| hint(keys, event)).for_each(&report);
    }
}

/// Returns the hint of an event for waiters; `None` for a grant.
fn hint(keys: &Keys, event: &Event) -> Option<Hint> {
    match keys.parse(event.kv()?.key()) {
        Some((Family::Lease, _)) if event.event_type() == EventType::Put => None,
        Some((_, name)) => Some(LockName::new(name).map_or(Hint::Anything, Hint::Name)),
        None => Some(Hint::Anything),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_on_all_members_fits_the_call_limit() {
        for members in 1..=9 {
            let all = limit_each(members) * u32::try_from(members).unwrap();
            assert!(all < CALL_LIMIT, "{members} members have {all:?}");
            assert!(limit_each(members) >= STALL_TIMEOUT, "{members} members");
        }
    }
}
