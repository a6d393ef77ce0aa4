//! A view is a lock as JSON, in the form that the API and `leasehold status --json` share. Fields
//! may be added, but not renamed or removed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leasehold_core::{Disablement, FencingToken, Holder, LockRecord, LockState, Reason};
use serde::Serialize;

/// A lock view is a lock as JSON, as the API and `leasehold status --json` write it.
///
/// Every field is always present; a field that does not apply is null. Later versions may add
/// fields.
///
/// ```
/// use leasehold_admin::LockView;
/// use leasehold_core::{LockName, LockRecord};
///
/// let record = LockRecord::unused(LockName::new("nightly")?);
/// let json = serde_json::to_value(LockView::from(&record))?;
/// assert_eq!((&json["name"], &json["state"]), (&"nightly".into(), &"free".into()));
/// assert!(json["holder"].is_null());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize)]
pub struct LockView<'a> {
    name: &'a str,
    state: LockState,
    holder: Option<HolderView<'a>>,
    /// The token of the latest grant, whose lease may have ended.
    token: Option<u64>,
    /// The time of the grant by the calendar clocks of the store and of this machine, for display.
    held_since: Option<String>,
    held_for_ms: Option<u64>,
    left_ms: Option<u64>,
    /// The reason why the holder has to stop.
    ending: Option<&'a str>,
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
        // A lock with several holders shows the first one.
        let held = record.holders().next();
        Self {
            name: record.name.as_str(),
            state: record.state(),
            holder: held.map(|held| HolderView::from(held.holder)),
            token: record.token.map(FencingToken::get),
            held_since: held.map(|held| moment_before(held.held_for)),
            held_for_ms: held.map(|held| millis(held.held_for)),
            left_ms: held.map(|held| millis(held.left)),
            ending: held.and_then(|held| held.ending).map(Reason::as_str),
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
    use leasehold_core::{EntryRecord, LeaseId, LockKind, LockName};

    use super::*;

    #[test]
    fn a_lock_with_a_queue_shows_its_first_holder() {
        let reason = Reason::new("upkeep").unwrap();
        let entry = |number| {
            let holder = Holder::current().with_label(format!("web {number}"));
            let token = FencingToken::new(number).unwrap();
            EntryRecord::new(LeaseId::new(), holder, token, Duration::from_secs(number))
                .with_ending(reason.clone())
        };
        let record = LockRecord::unused(LockName::new("job").unwrap())
            .with_queue(LockKind::Fair, vec![entry(7), entry(8)]);
        let json = serde_json::to_value(LockView::from(&record)).unwrap();
        assert_eq!(
            (json["state"].as_str(), json["left_ms"].as_u64()),
            (Some("ending"), Some(7_000))
        );
        assert_eq!(json["holder"]["label"], "web 7");
        assert_eq!(json["ending"], "upkeep");
    }
}
