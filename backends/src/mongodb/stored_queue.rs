//! Reads the queue of a document, and the hint after one of its entries has left.

use std::time::Duration;

use mongodb::bson::{Bson, Document};

use super::fields::{self, CorruptDocument, number, text};
use crate::shell::entries::{self, MARKER, StoredEntry};
use crate::{EntryRecord, FencingToken, Hint, LeaseId, LockKind, LockName, Reason, count_holding};

/// Returns whether the document has a queue in place of a lease.
pub(super) fn is_marked(document: &Document) -> bool {
    document.get_str("lease").is_ok_and(|lease| lease == MARKER.to_string())
}

/// Reads the kind and the live entries of a marked document; `None` if the queue has expired.
///
/// `token` is that of the document. The times are a server's, in milliseconds: an entry is live if it
/// was so at `live_at` and when the queue was changed last. What is left of it is as of `now`.
///
/// Whatever the pipelines refuse for its type is refused here too, so no entry is reported as
/// extended that the server left as it is.
pub(super) fn read(
    document: &Document,
    token: Option<FencingToken>,
    live_at: i64,
    now: i64,
) -> Result<Option<(LockKind, Vec<EntryRecord>)>, CorruptDocument> {
    let expires = required(document, "expires")?;
    if expires <= live_at {
        return Ok(None);
    }
    required(document, "granted")?;
    let clock = required(document, "clock")?;
    if clock >= expires {
        return Err(CorruptDocument::new("the queue expired before it was changed"));
    }
    fields::holder(&required_text::<String>(document, "holder")?)?;
    let ending: Option<Reason> = text(document, "ending")?;
    let (kind, entries) = stored(document)?;
    if entries.iter().any(|entry| Some(entry.token) > token) {
        return Err(CorruptDocument::new("an entry has a larger token than the document"));
    }
    let (live_at, now) = (micros(live_at.max(clock)), micros(now.max(clock)));
    let left = |expires_at: i64| {
        let left = u64::try_from(expires_at.saturating_sub(now)).unwrap_or_default();
        Ok::<_, CorruptDocument>((expires_at > live_at).then(|| Duration::from_micros(left)))
    };
    Ok(Some((kind, entries::live(kind, entries, ending.as_ref(), now, left)?)))
}

/// Returns the hint for a watch that polls: it names all holders, since several entries may have left.
/// A disable or an enable concerns the waiters too.
pub(super) fn polled_hint(name: LockName, document: &Document) -> Hint {
    if !is_marked(document) || document.contains_key("disabled") || document.contains_key("ending")
    {
        return Hint::Name(name);
    }
    match stored(document) {
        Ok((kind, entries)) if entries.iter().all(|entry| entry.ending.is_none()) => {
            let holding = count_holding(entries.iter().map(|entry| entry.weight), kind.capacity());
            let holders = entries.into_iter().take(holding).map(|entry| entry.lease);
            Hint::Entries(name, holders.collect())
        }
        _ => Hint::Name(name),
    }
}

/// Returns the hint of an event with these fields and that signal. The field `woken` has the signal
/// that it was written with: the events of other changes may contain an earlier one.
pub(super) fn pushed_hint(name: LockName, fields: &Document, signal: Option<i64>) -> Hint {
    let leases = || {
        let mut parts = fields.get_str("woken").ok()?.split(',');
        let is_current = parts.next()?.parse().ok() == Some(signal?);
        let leases = parts.map(str::parse::<LeaseId>).collect::<Result<Vec<_>, _>>().ok()?;
        (is_current && !leases.is_empty()).then_some(leases)
    };
    match leases() {
        Some(leases) => Hint::Entries(name, leases),
        None => Hint::Name(name),
    }
}

fn stored(document: &Document) -> Result<(LockKind, Vec<StoredEntry>), CorruptDocument> {
    let kind: LockKind = required_text(document, "kind")?;
    if required(document, "capacity")? != i64::from(kind.capacity()) {
        return Err(CorruptDocument::new(format!("the capacity is not that of {kind}")));
    }
    let Some(Bson::Array(entries)) = document.get("queue") else {
        return Err(CorruptDocument::new("queue is not an array"));
    };
    Ok((kind, entries.iter().map(entry).collect::<Result<_, _>>()?))
}

fn entry(entry: &Bson) -> Result<StoredEntry, CorruptDocument> {
    let Bson::Document(entry) = entry else {
        return Err(CorruptDocument::new("an entry of the queue is not a document"));
    };
    let token = u64::try_from(required(entry, "p")?)
        .map_err(|_| CorruptDocument::new("an entry has an invalid token"))?;
    let weight = u32::try_from(required(entry, "w")?)
        .map_err(|_| CorruptDocument::new("an entry has an invalid weight"))?;
    Ok(StoredEntry {
        lease: required_text(entry, "l")?,
        token: FencingToken::new(token)?,
        weight,
        holder: fields::holder(&required_text::<String>(entry, "h")?)?,
        entered_at: micros(required(entry, "t")?),
        expires_at: micros(required(entry, "x")?),
        ending: text(entry, "e")?,
    })
}

fn required(document: &Document, field: &str) -> Result<i64, CorruptDocument> {
    number(document, field)?.ok_or_else(|| CorruptDocument::new(format!("{field} is missing")))
}

fn required_text<T>(document: &Document, field: &str) -> Result<T, CorruptDocument>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text(document, field)?.ok_or_else(|| CorruptDocument::new(format!("{field} is missing")))
}

fn micros(millis: i64) -> i64 {
    millis.saturating_mul(1000)
}

#[cfg(test)]
mod tests;
