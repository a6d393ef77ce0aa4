//! Reads documents strictly: a value that Leasehold did not write is an error. Unknown fields are
//! ignored, unless the document states that a later version wrote it.

use std::time::Duration;

use mongodb::bson::{Bson, Document};

use super::fields::{self, CorruptDocument, number, text};
use super::stored_queue;
use crate::shell::StoredInstance;
use crate::{
    Disablement, Error, ErrorKind, FencingToken, LeaseId, LeaseRecord, LockName, LockRecord,
    Reason, Result,
};

/// The version of the documents that are written here. A document of version 1 does not state it.
pub(super) const VERSION: i64 = 1;

/// Returns the name in the document.
pub(super) fn name(document: &Document, collection: &str) -> Result<LockName> {
    let name = text(document, "_id").and_then(|name: Option<LockName>| {
        name.ok_or_else(|| CorruptDocument::new("_id is missing"))
    });
    name.map_err(|damage| damage.in_collection(collection))
}

/// Parses the whole document, as of `now`, a server's time in milliseconds.
pub(super) fn record(document: &Document, collection: &str, now: i64) -> Result<LockRecord> {
    parse(document, collection, now, now)
}

/// Parses a document as of the decision that changed its queue last: the entries in it were live
/// then. What is left of them is counted from `now`, a server's time, or from that decision.
///
/// Who holds the lock follows from this alone. By a later clock, an entry could seem expired that was
/// extended after the document was read.
pub(super) fn decided(
    document: &Document,
    collection: &str,
    now: Option<i64>,
) -> Result<LockRecord> {
    let decision = document.get_i64("clock").unwrap_or(i64::MIN);
    parse(document, collection, i64::MIN, now.unwrap_or(decision))
}

/// Parses the whole document. An entry of a queue is live if it was so at `live_at`, and when the
/// queue was changed last.
fn parse(document: &Document, collection: &str, live_at: i64, now: i64) -> Result<LockRecord> {
    let name = name(document, collection)?;
    let parse = || {
        check_version(document)?;
        let token = token(document)?;
        let record = LockRecord::unused(name.clone())
            .with_token(token)
            .with_disabled(disabled(document, now)?);
        if stored_queue::is_marked(document) {
            let queue = stored_queue::read(document, token, live_at, now)?;
            return Ok(match queue {
                Some((kind, entries)) => record.with_queue(kind, entries),
                None => record,
            });
        }
        let lease = lease(document, now)?;
        if lease.is_some() && token.is_none() {
            return Err(CorruptDocument::new("the lease has no token"));
        }
        Ok(record.with_lease(lease))
    };
    parse().map_err(|damage: CorruptDocument| damage.in_collection(collection).for_lock(&name))
}

/// Parses the record of an instance, as of the server's time that was read with it.
pub(super) fn instance(document: &Document, collection: &str) -> StoredInstance {
    let parse = || -> Result<_, CorruptDocument> {
        check_version(document)?;
        let Some(Bson::String(text)) = document.get("presence") else {
            return Err(CorruptDocument::new("presence is not text"));
        };
        let expires = number(document, "expires")?;
        let expires = expires.ok_or_else(|| CorruptDocument::new("expires is missing"))?;
        Ok((text.clone(), millis_between(now(document)?, expires)))
    };
    let id = document.get("_id").unwrap_or(&Bson::Null);
    let (text, left) = match parse() {
        Ok((text, left)) => (Ok(text), left),
        Err(damage) => {
            let message = format!("the collection {collection:?} has a corrupt document {id}");
            let error = Error::new(ErrorKind::Corrupt, message).with_source(damage.into_error());
            (Err(error.with_fix("delete it")), Duration::ZERO)
        }
    };
    StoredInstance { key: id.as_str().map_or_else(|| id.to_string(), str::to_owned), text, left }
}

/// Returns the server's time that was read with the document.
pub(super) fn now(document: &Document) -> Result<i64> {
    document.get_i64("now").map_err(|source| {
        Error::new(ErrorKind::Corrupt, "the server did not return its time").with_source(source)
    })
}

/// Fails if a later version of this library wrote the document.
pub(super) fn check_version(document: &Document) -> Result<(), CorruptDocument> {
    let version = match document.get("version") {
        None => return Ok(()),
        Some(Bson::Int32(version)) => i64::from(*version),
        Some(Bson::Int64(version)) => *version,
        Some(_) => return Err(CorruptDocument::new("version is not a whole number")),
    };
    if version <= VERSION {
        return Ok(());
    }
    let message = format!(
        "a later version of leasehold wrote it with version {version}; this program reads \
         {VERSION}"
    );
    let error = Error::new(ErrorKind::Corrupt, message);
    Err(error.with_fix("update leasehold in this program, too").into())
}

/// Returns the token, or `None` for a name that was disabled before its first grant.
pub(super) fn token(document: &Document) -> Result<Option<FencingToken>, CorruptDocument> {
    number(document, "signal")?.ok_or_else(|| CorruptDocument::new("signal is missing"))?;
    match number(document, "token")? {
        Some(0) => Ok(None),
        Some(number) => u64::try_from(number)
            .map_err(|_| CorruptDocument::new(format!("{number} is not a valid fencing token")))
            .and_then(|number| Ok(Some(FencingToken::new(number)?))),
        None => Err(CorruptDocument::new("token is missing")),
    }
}

fn lease(document: &Document, now: i64) -> Result<Option<LeaseRecord>, CorruptDocument> {
    let id: Option<LeaseId> = text(document, "lease")?;
    let holder: Option<String> = text(document, "holder")?;
    let granted = number(document, "granted")?;
    let expires = number(document, "expires")?;
    let ending: Option<Reason> = text(document, "ending")?;
    match (id, holder, granted, expires, ending) {
        (Some(id), Some(holder), Some(granted), Some(expires), ending) => {
            let holder = fields::holder(&holder)?;
            let held_for = millis_between(granted, now);
            let left = millis_between(now, expires);
            let lease =
                LeaseRecord::new(id, holder, left).with_held_for(held_for).with_ending(ending);
            Ok((expires > now).then_some(lease))
        }
        (None, None, None, None, None) => Ok(None),
        _ => Err(CorruptDocument::new("the lease is incomplete")),
    }
}

fn disabled(document: &Document, now: i64) -> Result<Option<Disablement>, CorruptDocument> {
    let parts = match document.get("disabled") {
        None => return Ok(None),
        Some(Bson::Document(parts)) => parts,
        Some(_) => return Err(CorruptDocument::new("disabled is not a document")),
    };
    match (text(parts, "reason")?, text::<String>(parts, "by")?, number(parts, "at")?) {
        (Some(reason), by, Some(at)) => {
            Ok(Some(Disablement::new(reason).with_by(by).with_since(millis_between(at, now))))
        }
        _ => Err(CorruptDocument::new("the disable record is incomplete")),
    }
}

/// Returns the duration in milliseconds, rounded up to the step of the clock.
pub(super) fn millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_micros().div_ceil(1000)).unwrap_or(i64::MAX)
}

pub(super) fn duration(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

/// Returns the time between two times, or zero if the clock was set back in between.
fn millis_between(from: i64, to: i64) -> Duration {
    Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    fn read(document: &Document) -> Result<LockRecord> {
        record(document, "leasehold_locks", 1_000)
    }

    #[test]
    fn a_foreign_document_is_an_error() {
        let free = doc! { "_id": "job", "token": 7_i64, "signal": 0_i64 };
        assert_eq!(read(&free).unwrap().token.map(FencingToken::get), Some(7));
        for (field, value) in [
            ("_id", Bson::Int32(1)),
            ("_id", Bson::from("")),
            ("token", Bson::Int32(7)),
            ("token", Bson::Int64(-1)),
            ("token", Bson::Int64(1 << 53)),
            ("signal", Bson::Null),
            ("lease", Bson::from("x")),
            ("expires", Bson::Int64(1)),
            ("disabled", Bson::from("upkeep")),
            ("version", Bson::from("1")),
            ("disabled", Bson::from(doc! { "reason": "upkeep" })),
        ] {
            let mut damaged = free.clone();
            damaged.insert(field, value);
            assert_eq!(read(&damaged).unwrap_err().kind(), ErrorKind::Corrupt, "{damaged}");
        }
        let mut held = free;
        held.extend(doc! {
            "lease": LeaseId::new().to_string(),
            "holder": serde_json::to_string(&crate::Holder::current()).unwrap(),
            "granted": 0_i64,
            "expires": 2_000_i64,
        });
        assert!(read(&held).unwrap().lease.is_some());
        held.insert("token", 0_i64);
        assert_eq!(read(&held).unwrap_err().kind(), ErrorKind::Corrupt, "{held}");
    }

    #[test]
    fn unknown_fields_are_ignored_and_later_versions_are_refused() {
        let free = doc! { "_id": "job", "token": 7_i64, "signal": 0_i64 };
        for (field, value) in
            [("color", Bson::from("red")), ("version", Bson::Int32(1)), ("version", Bson::Int64(1))]
        {
            let mut added = free.clone();
            added.insert(field, value);
            assert_eq!(read(&added).unwrap().token.map(FencingToken::get), Some(7), "{added}");
        }
        for version in [Bson::Int32(2), Bson::Int64(2)] {
            let mut later = free.clone();
            later.insert("version", version);
            let record =
                LockRecord::unreadable(LockName::new("job").unwrap(), &read(&later).unwrap_err());
            let why = record.corrupt.unwrap();
            assert!(why.contains("a later version of leasehold wrote it"), "{why}");
        }
    }

    #[test]
    fn instance_records_round_trip_or_fail() {
        let good = doc! { "_id": "id", "presence": "{}", "expires": 1_007_i64, "now": 1_000_i64 };
        let StoredInstance { key, text, left } = instance(&good, "c");
        assert_eq!((&*key, &*text.unwrap(), left), ("id", "{}", Duration::from_millis(7)));
        for (field, value) in [
            ("presence", Bson::Null),
            ("presence", Bson::from(doc! {})),
            ("expires", Bson::Null),
            ("expires", Bson::Int32(7)),
            ("now", Bson::Null),
            ("version", Bson::Int64(VERSION + 1)),
        ] {
            let mut damaged = good.clone();
            damaged.insert(field, value);
            let error = instance(&damaged, "c").text.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damaged}");
            assert!(error.to_string().contains("\"id\""), "{error}");
        }
        let without_id = doc! { "_id": 1, "presence": "{}", "expires": 7_i64, "now": 0_i64 };
        assert_eq!(instance(&without_id, "c").key, "1");
    }
}
