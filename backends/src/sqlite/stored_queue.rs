//! A stored queue is what a row has of a queue, in the form in which it is written back.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::clock::Now;
use crate::shell::entries::StoredEntry;
use crate::sql::CorruptRecord;
use crate::sql::encode;
use crate::sql::row::ttl_micros;
use crate::{
    EnterOptions, EntryRecord, Error, ErrorKind, FencingToken, LeaseId, LockName, LockRecord,
    RenewOptions, Result,
};

/// This is what is written of a queue: its name, its first holder, when its last entry expires, and
/// the entries.
pub(super) type QueueRow<'a> = (&'a str, String, i64, String);

/// This is the queue of a name at one moment, and the name's record at the same moment.
#[derive(Debug)]
pub(super) struct StoredQueue {
    pub(super) record: LockRecord,
    /// These are the live entries, in the order of their tokens.
    entries: Vec<KeptEntry>,
    is_extended: bool,
}

/// This is an entry with the fields that a later version added to it.
#[derive(Debug, Serialize, Deserialize)]
struct KeptEntry {
    #[serde(flatten)]
    entry: StoredEntry,
    #[serde(flatten)]
    added: Map<String, Value>,
}

impl StoredQueue {
    /// Returns the queue of a name that has no row.
    pub(super) fn unused(name: LockName) -> Self {
        Self { record: LockRecord::unused(name), entries: Vec::new(), is_extended: false }
    }

    /// Reads the queue of that record, whose column `queue` is read only if it has one. The reason
    /// for which all entries of the record have to leave becomes that of each entry.
    pub(super) fn read(
        record: LockRecord,
        column: impl FnOnce() -> Result<String, CorruptRecord>,
    ) -> Result<Self, CorruptRecord> {
        let mut entries = Vec::new();
        if let Some(queue) = &record.queue {
            entries = serde_json::from_str::<Vec<KeptEntry>>(&column()?).map_err(|source| {
                Error::new(ErrorKind::Corrupt, "the queue is corrupt").with_source(source)
            })?;
            let live: HashMap<LeaseId, &EntryRecord> =
                queue.entries.iter().map(|entry| (entry.id, entry)).collect();
            entries.retain_mut(|kept| {
                let Some(record) = live.get(&kept.entry.lease) else { return false };
                kept.entry.ending.clone_from(&record.ending);
                true
            });
            entries.sort_by_key(|kept| kept.entry.token);
        }
        Ok(Self { record, entries, is_extended: false })
    }

    /// Adds the entry of an attempt that nothing prevents, and returns its token.
    ///
    /// # Errors
    /// This fails if the tokens are used up.
    pub(super) fn push(&mut self, options: &EnterOptions, now: Now) -> Result<FencingToken> {
        let EnterOptions { lease, holder, ttl, kind, weight, .. } = options;
        let last = self.entries.last().map(|kept| kept.entry.token).max(self.record.token);
        let next = last.map_or(1, |token| token.get() + 1);
        let token = FencingToken::new(next.max(u64::try_from(now.wall).unwrap_or_default()))?;
        let ttl = ttl_micros(*ttl);
        let entry = StoredEntry {
            lease: *lease,
            token,
            weight: *weight,
            holder: holder.clone(),
            entered_at: now.wall,
            expires_at: now.uptime.saturating_add(ttl),
            ending: None,
        };
        self.entries.push(KeptEntry { entry, added: Map::new() });
        let entry = EntryRecord::new(*lease, holder.clone(), token, whole_micros(ttl));
        let mut entries = self.record.queue.take().map(|queue| queue.entries).unwrap_or_default();
        entries.push(entry.with_weight(*weight));
        self.record = self.record.clone().with_token(token).with_queue(*kind, entries);
        Ok(token)
    }

    /// Removes the entry of that lease if it is live, and returns its record.
    pub(super) fn remove(&mut self, lease: LeaseId) -> Option<EntryRecord> {
        let queue = self.record.queue.as_mut()?;
        let at = queue.entries.iter().position(|entry| entry.id == lease)?;
        let left = queue.entries.remove(at);
        let rest = std::mem::take(&mut queue.entries);
        self.record = self.record.clone().with_queue(self.record.kind, rest);
        self.entries.retain(|kept| kept.entry.lease != lease);
        Some(left)
    }

    /// Extends the entry of that renewal, if it is live and does not have to leave.
    pub(super) fn extend(&mut self, renewal: &RenewOptions, now: Now) {
        if self.record.disabled.is_some() {
            return;
        }
        let ttl = ttl_micros(renewal.ttl);
        let records = self.record.queue.iter_mut().flat_map(|queue| &mut queue.entries);
        for record in records.filter(|it| it.id == renewal.lease && it.ending.is_none()) {
            record.left = whole_micros(ttl);
            for kept in self.entries.iter_mut().filter(|it| it.entry.lease == renewal.lease) {
                kept.entry.expires_at = now.uptime.saturating_add(ttl);
                self.is_extended = true;
            }
        }
    }

    /// Returns whether an entry was [extended](Self::extend).
    pub(super) fn is_extended(&self) -> bool {
        self.is_extended
    }

    /// Returns what is to be written of the queue; `None` if it has no entries.
    pub(super) fn row(&self) -> Result<Option<QueueRow<'_>>> {
        let Some(first) = self.entries.first() else { return Ok(None) };
        let holder = encode::holder(&first.entry.holder)?;
        let ends = self.entries.iter().map(|kept| kept.entry.expires_at);
        let expires_at = ends.max().unwrap_or(first.entry.expires_at);
        let entries = serde_json::to_string(&self.entries).map_err(|error| {
            Error::invalid("the queue cannot be encoded as JSON").with_source(error)
        })?;
        Ok(Some((self.record.name.as_str(), holder, expires_at, entries)))
    }
}

fn whole_micros(ttl: i64) -> Duration {
    Duration::from_micros(ttl.unsigned_abs())
}

#[cfg(test)]
mod tests;
