//! Hints from etcd's own watch, kept by a task.
//!
//! The task is there for streams that nobody polls: what etcd sends to such a one would fill the
//! window of the connection that all calls share.

use std::time::Duration;

use etcd_client::{Event, EventType, WatchFilterType, WatchOptions, WatchStream};
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::client::EtcdClient;
use super::error;
use super::keys::{Family, Keys};
use super::limits::STALL_TIMEOUT;
use super::members::Target;
use crate::common::timeout::CALL_LIMIT;
use crate::{Error, ErrorKind, Hint, HintStream, LockName, Result};

/// How many hints wait to be polled; more become [`Hint::Anything`].
const HINT_BUFFER: usize = 1024;

/// How long a watch may be silent before it is asked whether it lives, and then to answer.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// A member has at most this long to open a watch.
const OPEN_LIMIT: Duration = Duration::from_secs(4);

/// All members together have this long, a little less than a call may take.
const OPEN_ALL_LIMIT: Duration = CALL_LIMIT.saturating_sub(Duration::from_secs(1));

const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Hints at everything that changes after this returned.
pub(super) async fn hints(etcd: EtcdClient, keys: Keys, label: String) -> Result<HintStream> {
    let watching = open_somewhere(&etcd, &keys).await?;
    let (hints, polled) = mpsc::channel(HINT_BUFFER);
    let watch = WatchTask { etcd, keys, label, hints, missed: false };
    tokio::spawn(watch.run(watching));
    Ok(Box::pin(stream::unfold(polled, |mut polled| async move {
        polled.recv().await.map(|hint| (hint, polled))
    })))
}

/// Opens the watch at the first member that serves it.
async fn open_somewhere(etcd: &EtcdClient, keys: &Keys) -> Result<OpenWatch> {
    let others = etcd.members().others();
    let limit = limit_each(others + 1);
    for _ in 0..others {
        if let Ok(watching) = open(etcd, keys, limit).await {
            return Ok(watching);
        }
    }
    open(etcd, keys, limit).await
}

/// Returns how long each of so many members has to open a watch.
fn limit_each(members: usize) -> Duration {
    let members = u32::try_from(members).unwrap_or(u32::MAX).max(1);
    (OPEN_ALL_LIMIT / members).min(OPEN_LIMIT)
}

/// A stream with two watches, and the member that serves it.
struct OpenWatch {
    stream: WatchStream,
    member: usize,
}

/// Opens both watches: one for leases that end, one for names that are disabled or enabled. If the
/// member does not serve them, another one is asked from now on.
async fn open(etcd: &EtcdClient, keys: &Keys, limit: Duration) -> Result<OpenWatch> {
    let members = etcd.members();
    let target = members.target(members.chosen());
    match timeout(limit, open_at(etcd, keys, &target)).await {
        Ok(Ok(stream)) => Ok(OpenWatch { stream, member: target.member }),
        Ok(Err(error)) => {
            members.use_another(target.member);
            Err(error)
        }
        Err(_) => {
            members.mark_stalled(&target, STALL_TIMEOUT);
            let message = format!("no watch opened within {limit:?}");
            Err(Error::new(ErrorKind::Unavailable, message))
        }
    }
}

async fn open_at(etcd: &EtcdClient, keys: &Keys, target: &Target) -> Result<WatchStream> {
    let mut client = etcd.members().client(target).await.map_err(error::reading)?;
    let ends = WatchOptions::new()
        .with_range(keys.end(Family::Lease, ""))
        .with_filters([WatchFilterType::NoPut]);
    let switched = WatchOptions::new().with_range(keys.end(Family::Disabled, ""));
    let mut watching =
        client.watch(keys.start(Family::Lease, ""), Some(ends)).await.map_err(error::reading)?;
    watching
        .watch(keys.start(Family::Disabled, ""), Some(switched))
        .await
        .map_err(error::reading)?;
    let mut created = 0;
    while created < 2 {
        let message = watching.message().await.map_err(error::reading)?;
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

struct WatchTask {
    etcd: EtcdClient,
    keys: Keys,
    label: String,
    hints: mpsc::Sender<Hint>,
    /// Hints were dropped, and the stream is to be told so as soon as it takes one.
    missed: bool,
}

impl WatchTask {
    /// Until nobody holds the stream any more.
    async fn run(mut self, first: OpenWatch) {
        let mut watching = Some(first);
        let mut pause = MIN_BACKOFF;
        loop {
            let error = match watching.take() {
                Some(OpenWatch { stream, member }) => match self.follow(stream).await {
                    Some(error) => {
                        self.etcd.members().use_another(member);
                        error
                    }
                    None => return,
                },
                None => {
                    let opened = tokio::select! {
                        opened = open(&self.etcd, &self.keys, OPEN_LIMIT) => opened,
                        () = self.hints.closed() => return,
                    };
                    match opened {
                        Ok(stream) => {
                            // From now: what changed meanwhile is not asked for, it may be compacted.
                            self.missed = true;
                            pause = MIN_BACKOFF;
                            watching = Some(stream);
                            continue;
                        }
                        Err(error) => error,
                    }
                }
            };
            if pause == MIN_BACKOFF {
                tracing::warn!(%error, store = self.label, "the watch is interrupted");
            }
            let jitter = Duration::from_millis(fastrand::u64(0..100));
            tokio::select! {
                () = sleep(pause + jitter) => {}
                () = self.hints.closed() => return,
            }
            pause = (pause * 2).min(MAX_BACKOFF);
        }
    }

    /// Passes on what the stream tells, until it breaks; none when nobody listens any more.
    async fn follow(&mut self, mut watching: WatchStream) -> Option<Error> {
        let mut asked = false;
        loop {
            let hints = self.hints.clone();
            let told = tokio::select! {
                told = timeout(PROGRESS_TIMEOUT, watching.message()) => told,
                () = hints.closed() => return None,
                room = hints.reserve(), if self.missed => {
                    room.ok()?.send(Hint::Anything);
                    self.missed = false;
                    continue;
                }
            };
            match told {
                Ok(Ok(Some(message))) if message.canceled() => {
                    return Some(canceled(message.cancel_reason()));
                }
                Ok(Ok(Some(message))) => {
                    asked = false;
                    message.events().iter().for_each(|event| self.forward(event));
                }
                Ok(Ok(None)) => return Some(ended("etcd ended the watch")),
                Ok(Err(error)) => return Some(error::reading(error)),
                Err(_) if asked => return Some(ended("the watch does not answer")),
                Err(_) => {
                    asked = true;
                    if let Err(error) = watching.request_progress().await {
                        return Some(error::reading(error));
                    }
                }
            }
        }
    }

    fn forward(&mut self, event: &Event) {
        let Some(kv) = event.kv() else { return };
        let hint = match self.keys.parse(kv.key()) {
            Some((Family::Lease, _)) if event.event_type() == EventType::Put => return,
            Some((_, name)) => LockName::new(name).map_or(Hint::Anything, Hint::Name),
            None => Hint::Anything,
        };
        if self.missed || self.hints.try_send(hint).is_err() {
            self.missed = true;
        }
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
