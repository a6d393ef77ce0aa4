//! A lock as JSON. Scripts read it: fields may be added, but not renamed or removed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leasehold::{Holder, LockRecord, LockState};
use serde::Serialize;

/// One lock. Every field is always there; what does not apply is null.
#[derive(Debug, Serialize)]
pub(super) struct View<'a> {
    name: &'a str,
    state: LockState,
    holder: Option<HolderView<'a>>,
    /// Of the latest grant, which may have ended.
    token: Option<u64>,
    /// For display: by the calendar clocks of the store and of this machine.
    held_since: Option<String>,
    held_for_ms: Option<u64>,
    left_ms: Option<u64>,
    /// Why the holder is to stop.
    ending: Option<&'a str>,
    disabled: Option<DisabledView<'a>>,
}

#[derive(Debug, Serialize)]
struct HolderView<'a> {
    instance: String,
    host: &'a str,
    pid: u32,
    label: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct DisabledView<'a> {
    reason: &'a str,
    by: Option<&'a str>,
    since: String,
    for_ms: u64,
}

impl<'a> View<'a> {
    pub(super) fn new(record: &'a LockRecord) -> Self {
        let lease = record.lease.as_ref();
        Self {
            name: record.name.as_str(),
            state: record.state(),
            holder: lease.map(|lease| HolderView::new(&lease.holder)),
            token: record.token.map(leasehold::FencingToken::get),
            held_since: lease.map(|lease| moment(ago(lease.held_for))),
            held_for_ms: lease.map(|lease| millis(lease.held_for)),
            left_ms: lease.map(|lease| millis(lease.left)),
            ending: lease.and_then(|lease| lease.ending.as_ref()).map(leasehold::Reason::as_str),
            disabled: record.disabled.as_ref().map(|disabled| DisabledView {
                reason: disabled.reason.as_str(),
                by: disabled.by.as_deref(),
                since: moment(ago(disabled.since)),
                for_ms: millis(disabled.since),
            }),
        }
    }
}

impl<'a> HolderView<'a> {
    fn new(holder: &'a Holder) -> Self {
        Self {
            instance: holder.instance.to_string(),
            host: &holder.host,
            pid: holder.pid,
            label: holder.label.as_deref(),
        }
    }
}

/// The calendar time so long before now.
pub(super) fn ago(duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    Timestamp::now().checked_sub(duration).unwrap_or(Timestamp::MIN)
}

/// RFC 3339 in UTC, to the millisecond.
fn moment(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
