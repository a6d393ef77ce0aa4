//! `GET /v1/events`: all locks, then every change, as server-sent events.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{StreamExt, stream};
use leasehold_core::{LockName, LockRecord};
use serde::Deserialize;

use crate::api;
use crate::extract::Query;
use crate::feed::{Follower, Look};
use crate::lock::LockView;
use crate::locks::check_prefix;
use crate::problem::Problem;

/// A comment goes out so often when nothing else does, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[serde(default)]
    prefix: String,
}

/// The answer ends at shutdown; a client that reconnects is told everything anew.
pub(crate) async fn events(
    State(state): State<Arc<api::State>>,
    Query(filter): Query<Filter>,
) -> Result<impl IntoResponse, Problem> {
    check_prefix(&filter.prefix)?;
    drop(state.gate.read()?);
    let teller = Teller {
        follower: state.feed.follow()?,
        prefix: filter.prefix,
        shown: None,
        told: Arc::default(),
        available: true,
        complete: false,
        due: VecDeque::new(),
    };
    let events = stream::unfold(teller, |mut teller| async move {
        let event = teller.next().await?;
        Some((Ok::<_, Infallible>(event), teller))
    });
    let events = events.take_until(state.feed.shutdown.clone().cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// What is still to be told of a look.
#[derive(Debug)]
enum Due {
    Lock(LockName),
    Removed(LockName),
    Complete,
    Unavailable,
    Available,
}

/// Tells one follower what changed from look to look.
#[derive(Debug)]
struct Teller {
    follower: Follower,
    prefix: String,
    /// The look that is being told.
    shown: Option<Arc<Look>>,
    /// What was told of the look before.
    told: Arc<BTreeMap<LockName, LockRecord>>,
    available: bool,
    complete: bool,
    due: VecDeque<Due>,
}

impl Teller {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let (Some(due), Some(look)) = (self.due.pop_front(), &self.shown) {
                return Some(event(&due, look));
            }
            let look = self.follower.next().await?;
            self.compare(&look);
            self.told = look.records.clone();
            self.shown = Some(look);
        }
    }

    fn compare(&mut self, look: &Look) {
        let Self { told, prefix, due, .. } = self;
        if look.error.is_none() && !std::mem::replace(&mut self.available, true) {
            due.push_back(Due::Available);
        }
        let mine = |name: &&LockName| name.as_str().starts_with(prefix.as_str());
        for name in look.records.keys().filter(mine) {
            let same = match (told.get(name), look.records.get(name)) {
                (Some(old), Some(new)) => says_the_same(old, new),
                _ => false,
            };
            if !same {
                due.push_back(Due::Lock(name.clone()));
            }
        }
        for name in told.keys().filter(mine).filter(|name| !look.records.contains_key(*name)) {
            due.push_back(Due::Removed(name.clone()));
        }
        if look.error.is_none() && !std::mem::replace(&mut self.complete, true) {
            due.push_back(Due::Complete);
        }
        if look.error.is_some() && std::mem::replace(&mut self.available, false) {
            due.push_back(Due::Unavailable);
        }
    }
}

/// Whether both tell of the same state; durations always differ.
fn says_the_same(old: &LockRecord, new: &LockRecord) -> bool {
    let lease = |record: &LockRecord| {
        record.lease.as_ref().map(|lease| (lease.id, lease.holder.clone(), lease.ending.clone()))
    };
    let disabled = |record: &LockRecord| {
        record.disabled.as_ref().map(|disabled| (disabled.reason.clone(), disabled.by.clone()))
    };
    old.token == new.token && lease(old) == lease(new) && disabled(old) == disabled(new)
}

fn event(due: &Due, look: &Look) -> Event {
    let (kind, data) = match due {
        Due::Lock(name) => {
            let view = look.records.get(name).map(LockView::from);
            ("lock", serde_json::to_string(&view))
        }
        Due::Removed(name) => ("removed", serde_json::to_string(&BTreeMap::from([("name", name)]))),
        Due::Complete => ("complete", Ok("{}".to_owned())),
        Due::Available => ("available", Ok("{}".to_owned())),
        Due::Unavailable => {
            ("unavailable", serde_json::to_string(&look.error.clone().map(Problem::from)))
        }
    };
    Event::default().event(kind).data(data.unwrap_or_default())
}
