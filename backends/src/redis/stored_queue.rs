//! Reads the queue of a record as strictly as the scripts do: `scripts/queue.lua` has its form.

use std::time::Duration;

use serde::Deserialize;

use crate::shell::entries::{self, StoredEntry};
use crate::{EntryRecord, Error, ErrorKind, FencingToken, LeaseId, LockKind, Reason, Result};

/// Each time is below this number, up to which the numbers of Lua are exact.
const TIME_LIMIT: i64 = 1 << 53;

/// A stored queue has the fields of a record that has a queue in force.
#[derive(Debug)]
pub(super) struct StoredQueue<'a> {
    pub(super) kind: &'a str,
    /// The entries, one on each line.
    pub(super) lines: &'a str,
    pub(super) token: Option<FencingToken>,
    pub(super) expires_at: u64,
    pub(super) ending: Option<&'a Reason>,
    /// The server's time in microseconds.
    pub(super) now: u64,
}

impl StoredQueue<'_> {
    /// Returns the kind of the lock and the live entries.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if the scripts did not write the queue.
    pub(super) fn read(&self) -> Result<(LockKind, Vec<EntryRecord>)> {
        let kind: LockKind = self.kind.parse()?;
        let stored = self.lines.split('\n').map(entry).collect::<Result<Vec<_>>>()?;
        if !stored.windows(2).all(|pair| pair[0].token < pair[1].token) {
            return Err(corrupt("the entries of the queue are not in order"));
        }
        if stored.last().map(|entry| entry.token) > self.token {
            return Err(corrupt("an entry has a larger token than the record"));
        }
        let latest = stored.iter().map(|entry| entry.expires_at).max();
        if latest.and_then(|latest| u64::try_from(latest).ok()) != Some(self.expires_at) {
            return Err(corrupt("the record does not expire with its last entry"));
        }
        let now = i64::try_from(self.now).map_err(|_| corrupt("the time is invalid"))?;
        let left = |expires_at: i64| {
            let left = u64::try_from(expires_at.saturating_sub(now)).unwrap_or_default();
            Ok::<_, Error>((left > 0).then(|| Duration::from_micros(left)))
        };
        Ok((kind, entries::live(kind, stored, self.ending, now, left)?))
    }
}

/// A head is the part of a line before the holder.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "l")]
    lease: LeaseId,
    #[serde(rename = "p")]
    token: FencingToken,
    #[serde(rename = "w")]
    weight: u32,
    #[serde(rename = "t")]
    entered_at: i64,
    #[serde(rename = "x")]
    expires_at: i64,
    #[serde(rename = "e", default)]
    ending: Option<Reason>,
}

fn entry(line: &str) -> Result<StoredEntry> {
    let invalid = || corrupt("an entry of the queue is corrupt");
    let Head { lease, token, weight, entered_at, expires_at, ending } =
        serde_json::from_str(line).map_err(|source| invalid().with_source(source))?;
    let start =
        format!(r#"{{"l":"{lease}","p":{token},"w":{weight},"t":{entered_at},"x":{expires_at},"#);
    // The scripts take a line apart by the order of its parts.
    let rest = line.strip_prefix(start.as_str()).ok_or_else(invalid)?;
    let (more, holder) = rest.find(r#""h":{"#).map(|at| rest.split_at(at)).ok_or_else(invalid)?;
    let holder = holder.strip_prefix(r#""h":"#).and_then(|holder| holder.strip_suffix('}'));
    let holder = serde_json::from_str(holder.ok_or_else(invalid)?)
        .map_err(|source| corrupt("the holder of an entry is corrupt").with_source(source))?;
    let is_time = |time: i64| (1..TIME_LIMIT).contains(&time);
    let is_first = more.starts_with(r#""e":"#);
    if ending.is_some() != is_first || !is_time(entered_at) || !is_time(expires_at) {
        return Err(invalid());
    }
    Ok(StoredEntry { lease, token, weight, holder, entered_at, expires_at, ending })
}

fn corrupt(message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

#[cfg(test)]
mod tests;
