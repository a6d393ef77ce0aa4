//! A view is a lock as JSON, in the form that the API and `leasehold status --json` share. Fields
//! may be added, but not renamed or removed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leasehold_core::{
    CurrentHolder, Disablement, EntryRecord, FencingToken, Holder, LockKind, LockRecord, LockState,
    QueueRecord, Reason,
};
use serde::Serialize;

/// A lock view is a lock as JSON, as the API and `leasehold status --json` write it.
///
/// Every field is always present; a field that does not apply is null, or an empty list. Later
/// versions may add fields.
///
/// ```
/// use leasehold_admin::LockView;
/// use leasehold_core::{LockName, LockRecord};
///
/// let record = LockRecord::unused(LockName::new("nightly")?);
/// let json = serde_json::to_value(LockView::from(&record))?;
/// assert_eq!((&json["name"], &json["state"]), (&"nightly".into(), &"free".into()));
/// assert!(json["holder"].is_null() && json["kind"].is_null());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize)]
pub struct LockView<'a> {
    name: &'a str,
    state: LockState,
    /// The kind of lock as which the name is in use, in one word.
    kind: Option<&'static str>,
    /// The largest sum of the holders' weights.
    capacity: Option<u32>,
    /// The first holder, to which the fields up to `ending` belong, except for the token.
    holder: Option<HolderView<'a>>,
    /// The token of the latest grant, whose lease may have ended.
    token: Option<u64>,
    /// The time of the grant by the calendar clocks of the store and of this machine, for display.
    held_since: Option<String>,
    held_for_ms: Option<u64>,
    left_ms: Option<u64>,
    /// The reason why the holder has to stop.
    ending: Option<&'a str>,
    /// All holders, in the order of their tokens.
    holders: Vec<CurrentHolderView<'a>>,
    /// The entries that wait, in the order of the queue.
    waiters: Vec<WaiterView<'a>>,
    disabled: Option<DisabledView<'a>>,
    /// The reason why the store cannot read the lock's record; all other fields are null then.
    corrupt: Option<&'a str>,
}

/// A holder view is the holder of a lock as JSON, as part of a [`LockView`].
#[derive(Debug, Serialize)]
pub struct HolderView<'a> {
    instance: String,
    host: &'a str,
    pid: u32,
    label: Option<&'a str>,
}

/// A current holder view is one of the holders of a lock.
#[derive(Debug, Serialize)]
struct CurrentHolderView<'a> {
    holder: HolderView<'a>,
    token: Option<u64>,
    /// The holder has this much of the capacity.
    weight: u32,
    held_since: String,
    held_for_ms: u64,
    left_ms: u64,
    /// The reason why the holder has to stop.
    ending: Option<&'a str>,
}

/// A waiter view is an entry that waits in the queue of a lock.
#[derive(Debug, Serialize)]
struct WaiterView<'a> {
    /// The first that waits has the position 1.
    position: usize,
    holder: HolderView<'a>,
    /// The entry keeps this token when it holds the lock.
    token: u64,
    /// The entry needs this much of the capacity.
    weight: u32,
    waiting_since: String,
    waiting_for_ms: u64,
    left_ms: u64,
    /// The reason why the entry has to leave.
    ending: Option<&'a str>,
}

/// A disabled view says why a lock is disabled, and since when.
#[derive(Debug, Serialize)]
pub(crate) struct DisabledView<'a> {
    reason: &'a str,
    by: Option<&'a str>,
    since: String,
    for_ms: u64,
}

impl<'a> From<&'a LockRecord> for LockView<'a> {
    fn from(record: &'a LockRecord) -> Self {
        let held = record.holders().next();
        let kind = record.is_in_use().then_some(record.kind);
        let waiters = record.queue.as_ref().map(QueueRecord::waiters).unwrap_or_default();
        Self {
            name: record.name.as_str(),
            state: record.state(),
            kind: kind.map(LockKind::word),
            capacity: kind.map(LockKind::capacity),
            holder: held.map(|held| HolderView::from(held.holder)),
            token: record.token.map(FencingToken::get),
            held_since: held.map(|held| moment_before(held.held_for)),
            held_for_ms: held.map(|held| millis(held.held_for)),
            left_ms: held.map(|held| millis(held.left)),
            ending: held.and_then(|held| held.ending).map(Reason::as_str),
            holders: record.holders().map(CurrentHolderView::from).collect(),
            waiters: (1_usize..).zip(waiters).map(WaiterView::from).collect(),
            disabled: record.disabled.as_ref().map(DisabledView::from),
            corrupt: record.corrupt.as_deref(),
        }
    }
}

impl<'a> From<&'a Holder> for HolderView<'a> {
    fn from(holder: &'a Holder) -> Self {
        Self {
            instance: holder.instance.to_string(),
            host: &holder.host,
            pid: holder.pid,
            label: holder.label.as_deref(),
        }
    }
}

impl<'a> From<CurrentHolder<'a>> for CurrentHolderView<'a> {
    fn from(held: CurrentHolder<'a>) -> Self {
        Self {
            holder: held.holder.into(),
            token: held.token.map(FencingToken::get),
            weight: held.weight,
            held_since: moment_before(held.held_for),
            held_for_ms: millis(held.held_for),
            left_ms: millis(held.left),
            ending: held.ending.map(Reason::as_str),
        }
    }
}

impl<'a> From<(usize, &'a EntryRecord)> for WaiterView<'a> {
    fn from((position, entry): (usize, &'a EntryRecord)) -> Self {
        Self {
            position,
            holder: (&entry.holder).into(),
            token: entry.token.get(),
            weight: entry.weight,
            waiting_since: moment_before(entry.entered),
            waiting_for_ms: millis(entry.entered),
            left_ms: millis(entry.left),
            ending: entry.ending.as_ref().map(Reason::as_str),
        }
    }
}

impl<'a> From<&'a Disablement> for DisabledView<'a> {
    fn from(disabled: &'a Disablement) -> Self {
        Self {
            reason: disabled.reason.as_str(),
            by: disabled.by.as_deref(),
            since: moment_before(disabled.since),
            for_ms: millis(disabled.since),
        }
    }
}

/// Returns the present time minus a duration, as RFC 3339 in UTC, to the millisecond.
fn moment_before(duration: Duration) -> String {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    let at = Timestamp::now().checked_sub(duration).unwrap_or(Timestamp::MIN);
    format!("{at:.3}")
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use leasehold_core::{LeaseId, LeaseRecord, LockName};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lock_with_a_queue_shows_its_holders_and_waiters() {
        let reason = Reason::new("upkeep").unwrap();
        let entry = |number| {
            let holder = Holder::current().with_label(format!("web {number}"));
            let token = FencingToken::new(number).unwrap();
            EntryRecord::new(LeaseId::new(), holder, token, Duration::from_secs(number))
                .with_ending(reason.clone())
        };
        let record = LockRecord::unused(LockName::new("job").unwrap()).with_queue(
            LockKind::semaphore(3).unwrap(),
            vec![entry(7), entry(8).with_weight(2), entry(9).with_weight(3), entry(10)],
        );
        let json = serde_json::to_value(LockView::from(&record)).unwrap();
        assert_eq!(
            (json["state"].as_str(), json["left_ms"].as_u64()),
            (Some("ending"), Some(7_000))
        );
        assert_eq!(json["holder"]["label"], "web 7");
        assert_eq!(json["ending"], "upkeep");
        assert_eq!((&json["kind"], &json["capacity"]), (&"semaphore".into(), &3.into()));
        let of = |list: &str, fields: [&str; 4]| -> Vec<_> {
            let list = json[list].as_array().unwrap().iter();
            list.map(|it| fields.map(|field| it[field].clone())).collect()
        };
        let holders = of("holders", ["token", "weight", "left_ms", "ending"]);
        assert_eq!(holders[0], [json!(7), json!(1), json!(7_000), json!("upkeep")]);
        assert_eq!(holders[1], [json!(8), json!(2), json!(8_000), json!("upkeep")]);
        let waiters = of("waiters", ["position", "token", "weight", "left_ms"]);
        assert_eq!(waiters[0], [json!(1), json!(9), json!(3), json!(9_000)]);
        assert_eq!(waiters[1], [json!(2), json!(10), json!(1), json!(10_000)]);
        assert_eq!((holders.len(), waiters.len()), (2, 2));
        assert_eq!(json["waiters"][1]["holder"]["label"], "web 10");
    }

    #[test]
    fn an_exclusive_lock_has_one_holder_and_no_waiters() {
        let name = LockName::new("job").unwrap();
        let view = |record: &LockRecord| serde_json::to_value(LockView::from(record)).unwrap();
        let unused = LockRecord::unused(name);
        let free = view(&unused);
        assert!(free["kind"].is_null() && free["capacity"].is_null(), "{free}");
        assert_eq!((&free["holders"], &free["waiters"]), (&json!([]), &json!([])));
        let (holder, left) = (Holder::current(), Duration::from_secs(3));
        let lease = LeaseRecord::new(LeaseId::new(), holder, left);
        let held = view(&unused.with_lease(lease).with_token(FencingToken::new(7).unwrap()));
        assert_eq!((&held["kind"], &held["capacity"]), (&json!("exclusive"), &json!(1)));
        let holders = held["holders"].as_array().unwrap();
        assert_eq!((holders.len(), &holders[0]["holder"]), (1, &held["holder"]));
        assert_eq!((&holders[0]["token"], &holders[0]["weight"]), (&json!(7), &json!(1)));
        assert_eq!(held["waiters"], json!([]));
    }
}
