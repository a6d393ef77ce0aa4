//! `GET /v1/events` sends all locks, then every change, as server-sent events.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{StreamExt, stream};
use leasehold_core::{LockName, LockRecord, QueueRecord};
use serde::Deserialize;

use crate::extract::Query;
use crate::lock_poller::{Snapshot, Subscription};
use crate::locks::check_prefix;
use crate::problem::Problem;
use crate::state::ApiState;
use crate::views::LockView;

/// Without another event, a comment is sent this often, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[serde(default)]
    prefix: String,
}

/// Streams the events until shutdown; a client that reconnects gets all locks again.
pub(crate) async fn events(
    State(state): State<Arc<ApiState>>,
    Query(filter): Query<Filter>,
) -> Result<impl IntoResponse, Problem> {
    check_prefix(&filter.prefix)?;
    drop(state.gate.read()?);
    let diff = SnapshotDiff {
        subscription: state.poller.subscribe()?,
        prefix: filter.prefix,
        current: None,
        sent: Arc::default(),
        available: true,
        complete: false,
        pending: VecDeque::new(),
    };
    let events = stream::unfold(diff, |mut diff| async move {
        let event = diff.next().await?;
        Some((Ok::<_, Infallible>(event), diff))
    });
    let events = events.take_until(state.poller.shutdown.clone().cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// A pending event is a difference between two snapshots that was not sent yet.
#[derive(Debug)]
enum PendingEvent {
    Lock(LockName),
    Removed(LockName),
    Complete,
    Unavailable,
    Available,
}

/// A snapshot diff turns the snapshots of one subscription into events, one per difference.
#[derive(Debug)]
struct SnapshotDiff {
    subscription: Subscription,
    prefix: String,
    /// The snapshot whose differences are being sent.
    current: Option<Arc<Snapshot>>,
    /// The records of the previous snapshot.
    sent: Arc<BTreeMap<LockName, LockRecord>>,
    available: bool,
    complete: bool,
    pending: VecDeque<PendingEvent>,
}

impl SnapshotDiff {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let (Some(pending), Some(snapshot)) = (self.pending.pop_front(), &self.current) {
                return Some(event(&pending, snapshot));
            }
            let snapshot = self.subscription.next().await?;
            self.compare(&snapshot);
            self.sent = snapshot.records.clone();
            self.current = Some(snapshot);
        }
    }

    fn compare(&mut self, snapshot: &Snapshot) {
        let Self { sent, prefix, pending, .. } = self;
        if snapshot.error.is_none() && !std::mem::replace(&mut self.available, true) {
            pending.push_back(PendingEvent::Available);
        }
        let matches = |name: &&LockName| name.as_str().starts_with(prefix.as_str());
        for name in snapshot.records.keys().filter(matches) {
            let same = match (sent.get(name), snapshot.records.get(name)) {
                (Some(old), Some(new)) => is_same_state(old, new),
                _ => false,
            };
            if !same {
                pending.push_back(PendingEvent::Lock(name.clone()));
            }
        }
        for name in sent.keys().filter(matches).filter(|name| !snapshot.records.contains_key(*name))
        {
            pending.push_back(PendingEvent::Removed(name.clone()));
        }
        if snapshot.error.is_none() && !std::mem::replace(&mut self.complete, true) {
            pending.push_back(PendingEvent::Complete);
        }
        if snapshot.error.is_some() && std::mem::replace(&mut self.available, false) {
            pending.push_back(PendingEvent::Unavailable);
        }
    }
}

/// Returns whether both records describe the same state; durations always differ.
fn is_same_state(old: &LockRecord, new: &LockRecord) -> bool {
    let held = |record: &LockRecord| -> Vec<_> {
        record.holders().map(|it| (it.id, it.holder.clone(), it.ending.cloned())).collect()
    };
    let waiting = |record: &LockRecord| -> Vec<_> {
        let waiters = record.queue.iter().flat_map(QueueRecord::waiters);
        waiters.map(|entry| (entry.id, entry.ending.clone())).collect()
    };
    let disabled = |record: &LockRecord| {
        record.disabled.as_ref().map(|disabled| (disabled.reason.clone(), disabled.by.clone()))
    };
    old.token == new.token
        && old.kind == new.kind
        && held(old) == held(new)
        && waiting(old) == waiting(new)
        && disabled(old) == disabled(new)
}

fn event(pending: &PendingEvent, snapshot: &Snapshot) -> Event {
    let (kind, data) = match pending {
        PendingEvent::Lock(name) => {
            let view = snapshot.records.get(name).map(LockView::from);
            ("lock", serde_json::to_string(&view))
        }
        PendingEvent::Removed(name) => {
            ("removed", serde_json::to_string(&BTreeMap::from([("name", name)])))
        }
        PendingEvent::Complete => ("complete", Ok("{}".to_owned())),
        PendingEvent::Available => ("available", Ok("{}".to_owned())),
        PendingEvent::Unavailable => {
            ("unavailable", serde_json::to_string(&snapshot.error.clone().map(Problem::from)))
        }
    };
    Event::default().event(kind).data(data.unwrap_or_default())
}
