//! The stored form of a queue, and how it is read.
//!
//! # The record of a name with a queue
//!
//! The entries are in the same record as the lease of an exclusive lock, in two more fields: `kind`
//! has [`LockKind::code`], and `queue` the entries in order of their tokens, as a JSON array of
//! [`StoredEntry`] or in another form of the database. While there are live entries, the other
//! fields are those of a lease in force, so that the statements of the exclusive lock refuse the
//! name, also those of an earlier version, and never need to read the queue:
//!
//! | field | value |
//! |---|---|
//! | `lease` | [`MARKER`]; otherwise the name has no queue, whatever `kind` and `queue` contain |
//! | `holder` | the holder of the first entry |
//! | `token` | the token of the last entry |
//! | `granted_at` | when the last entry was made |
//! | `expires_at` | the latest `expires_at` of the entries, after which no entry is live |
//! | `ending` | set by `disable`: every entry in `queue` has to leave, for this reason |
//!
//! # What a store implements
//!
//! Each is one atomic operation, by the clock of its decision, which it returns with the record.
//! Whenever it writes `queue`, it drops the expired entries. Who holds the lock is computed from
//! what it returns, by [`QueueRecord`](crate::QueueRecord).
//!
//! * **enter**: If the name is enabled, no lease of an exclusive lock is in force, the kind is the
//!   same or there are no live entries, no live entry has the same lease, there are fewer than
//!   [`MAX_ENTRIES`](crate::MAX_ENTRIES), and the attempt waits or the sum of the weights leaves
//!   room: the token becomes `max(token + 1, clock in µs)`, and an entry with that token is added at
//!   the end. The `ending` of the record is moved into `e` of each live entry, and becomes NULL. It
//!   returns the record.
//! * **leave**: Removes the entry if it is live. After the last one, it ends the lease of the record
//!   as a release does. Then it sends the hint, which is made of the record before or after.
//! * **renew**: For each entry that is live, not ending, and whose name is enabled: sets its
//!   `expires_at` and that of the record. It returns the record either way. An entry that is ending
//!   keeps its time.
//! * **acquire** of the exclusive lock: the read of a refused attempt includes the two fields.
//! * **disable**, **enable**, **release** and **prune** need no change.
//! * **get** and **list** read the two fields.
#![allow(dead_code, reason = "which parts are used depends on the features")]

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    EntryRecord, Error, ErrorKind, FencingToken, Holder, LeaseId, LockKind, Reason, Result,
};

/// A record with this lease id has a queue in place of a lease. No attempt has this id.
pub(crate) const MARKER: Uuid = Uuid::nil();

/// A stored entry is an entry in the form in which a store keeps it.
///
/// Each field is a number or a text, so that every database can take an entry apart and put it
/// together again. Later versions may add fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredEntry {
    #[serde(rename = "l")]
    pub(crate) lease: LeaseId,
    /// The token, which also is the entry's position in the order.
    #[serde(rename = "p")]
    pub(crate) token: FencingToken,
    #[serde(rename = "w")]
    pub(crate) weight: u32,
    /// The holder as JSON in a text.
    #[serde(rename = "h", with = "json_text")]
    pub(crate) holder: Holder,
    /// When the entry was made, on the calendar clock in microseconds, for display.
    #[serde(rename = "t")]
    pub(crate) entered_at: i64,
    /// When the entry expires, in microseconds on the clock by which leases expire.
    #[serde(rename = "x")]
    pub(crate) expires_at: i64,
    /// Why the entry has to leave, if the name was disabled since it was made and another entry was
    /// made after that.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(crate) ending: Option<Reason>,
}

/// Reads the fields `kind` and `queue` of a record, and returns the live entries at that time on the
/// store's clock. `ending` is that of the record.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if Leasehold did not write them.
pub(crate) fn read(
    kind: &str,
    queue: &str,
    ending: Option<&Reason>,
    clock: i64,
) -> Result<(LockKind, Vec<EntryRecord>)> {
    read_with(kind, queue, ending, clock, |expires_at| left(expires_at, clock))
}

/// Does the same where leases expire by another clock than the calendar clock, by which `clock` is.
/// `left` returns the time until `expires_at`, or `None` if that has passed.
pub(crate) fn read_with<E: From<Error>>(
    kind: &str,
    queue: &str,
    ending: Option<&Reason>,
    clock: i64,
    left: impl Fn(i64) -> Result<Option<Duration>, E>,
) -> Result<(LockKind, Vec<EntryRecord>), E> {
    let kind: LockKind = kind.parse()?;
    let entries: Vec<StoredEntry> = serde_json::from_str(queue)
        .map_err(|source| corrupt("the queue is corrupt").with_source(source))?;
    Ok((kind, live(kind, entries, ending, clock, left)?))
}

/// Checks entries that were read in another way, and returns the live ones.
pub(crate) fn live<E: From<Error>>(
    kind: LockKind,
    entries: Vec<StoredEntry>,
    ending: Option<&Reason>,
    clock: i64,
    left: impl Fn(i64) -> Result<Option<Duration>, E>,
) -> Result<Vec<EntryRecord>, E> {
    check(kind, &entries)?;
    let mut live = Vec::with_capacity(entries.len());
    for entry in entries {
        let entered = u64::try_from(clock.saturating_sub(entry.entered_at)).unwrap_or_default();
        let Some(left) = left(entry.expires_at)? else { continue };
        // The name may have been disabled again after the entry was marked.
        let ending = ending.cloned().or(entry.ending);
        live.push(
            EntryRecord::new(entry.lease, entry.holder, entry.token, left)
                .with_weight(entry.weight)
                .with_entered(Duration::from_micros(entered))
                .with_ending(ending),
        );
    }
    Ok(live)
}

/// Returns the text of the field `queue`.
pub(crate) fn write(entries: &[StoredEntry]) -> Result<String> {
    serde_json::to_string(entries)
        .map_err(|error| Error::invalid("the queue cannot be encoded as JSON").with_source(error))
}

fn check(kind: LockKind, entries: &[StoredEntry]) -> Result<()> {
    if !kind.has_queue() {
        return Err(corrupt(format!("{kind} has a queue")));
    }
    let (mut leases, mut tokens) = (HashSet::new(), HashSet::new());
    for StoredEntry { lease, token, weight, entered_at, .. } in entries {
        if lease.as_uuid() == MARKER || !leases.insert(lease) || !tokens.insert(token) {
            return Err(corrupt("two entries have the same lease or token"));
        }
        if *weight == 0 || *weight > kind.capacity() {
            return Err(corrupt(format!("{weight} is not a valid weight in {kind}")));
        }
        if *entered_at < 0 {
            return Err(corrupt(format!("{entered_at} is not a valid time")));
        }
    }
    Ok(())
}

fn left(expires_at: i64, clock: i64) -> Result<Option<Duration>> {
    let left = expires_at
        .checked_sub(clock)
        .ok_or_else(|| corrupt(format!("{expires_at} is not a valid time")))?;
    Ok(u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_micros))
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

mod json_text {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::Holder;

    pub(super) fn serialize<S: Serializer>(holder: &Holder, to: S) -> Result<S::Ok, S::Error> {
        serde_json::to_string(holder).map_err(S::Error::custom)?.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Holder, D::Error> {
        let text = String::deserialize(from)?;
        serde_json::from_str(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
