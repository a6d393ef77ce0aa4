//! Reads records strictly: a value that Leasehold did not write is an error.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use ::redis::Value;

use super::stored_queue::StoredQueue;
use crate::shell::entries::MARKER;
use crate::{
    Disablement, Error, ErrorKind, FencingToken, LeaseRecord, LockName, LockRecord, Reason, Result,
};

/// The version of the records that this program writes and reads. A record that states none has
/// this version.
const VERSION: &str = "1";

/// The fields of a record.
const FIELDS: &[&str] = &[
    "v",
    "token",
    "lease",
    "holder",
    "granted_at",
    "expires_at",
    "ending",
    "kind",
    "queue",
    "disabled_reason",
    "disabled_by",
    "disabled_at",
];

/// The fields of a queue, which are read only if the record has one in place of a lease.
const QUEUE_FIELDS: &[&str] = &["kind", "queue"];

/// The reply of a script: a word, and the values that follow it.
#[derive(Debug)]
pub(super) struct ScriptReply {
    pub(super) word: String,
    rest: Vec<Value>,
}

impl ScriptReply {
    pub(super) fn new(value: Value) -> Result<Self> {
        let Value::Array(values) = value else { return Err(unexpected_reply()) };
        let mut values = values.into_iter();
        let word = values.next().ok_or_else(unexpected_reply)?;
        let word = text(&word).ok_or_else(unexpected_reply)?.to_owned();
        Ok(Self { word, rest: values.collect() })
    }

    /// Reads the reply to a call for that name. A corrupt record is an error.
    pub(super) fn for_lock(name: &LockName, value: Value) -> Result<Self> {
        let reply = Self::new(value)?;
        if reply.word == "damaged" {
            reply.record(name)?;
        }
        Ok(reply)
    }

    fn text(&self, at: usize) -> Result<&str> {
        self.rest.get(at).and_then(text).ok_or_else(unexpected_reply)
    }

    pub(super) fn number(&self, at: usize) -> Result<u64> {
        self.text(at)?.parse().map_err(|_| unexpected_reply())
    }

    pub(super) fn duration(&self, at: usize) -> Result<Duration> {
        self.number(at).map(Duration::from_micros)
    }

    /// Reads a list of words.
    pub(super) fn words(&self, at: usize) -> Result<Vec<&str>> {
        let Some(Value::Array(words)) = self.rest.get(at) else { return Err(unexpected_reply()) };
        words.iter().map(|word| text(word).ok_or_else(unexpected_reply)).collect()
    }

    /// Reads the record in the reply, as of the server's time in the same reply.
    pub(super) fn record(&self, name: &LockName) -> Result<LockRecord> {
        let now = self.number(0)?;
        let Some(Value::Array(flat)) = self.rest.get(1) else { return Err(unexpected_reply()) };
        let parsed = parse(name, now, flat).and_then(|record| match &*self.word {
            "damaged" => Err(corrupt_reason("the fields contradict each other")),
            _ => Ok(record),
        });
        parsed.map_err(|cause| corrupt(name, cause))
    }

    /// Reads the first value as the reason why the lease ends. It comes from the record, where it
    /// may be corrupt.
    pub(super) fn reason(&self, name: &LockName) -> Result<Reason> {
        let reason = self.rest.first().ok_or_else(unexpected_reply)?;
        let reason = text(reason).ok_or_else(|| corrupt_reason("the reason is not UTF-8"));
        let reason = reason.and_then(|reason| {
            Reason::new(reason)
                .map_err(|error| corrupt_reason(format!("the reason is invalid: {error}")))
        });
        reason.map_err(|cause| corrupt(name, cause))
    }
}

fn corrupt(name: &LockName, cause: Error) -> Error {
    Error::new(ErrorKind::Corrupt, "the record of this lock is corrupt")
        .with_source(cause)
        .with_fix("repair or delete it; fencing tokens keep growing")
        .for_lock(name)
}

pub(super) fn unexpected_reply() -> Error {
    Error::new(ErrorKind::Corrupt, "unexpected reply to leasehold's script")
        .with_fix("is it Redis or Valkey, without a proxy that changes answers?")
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn parse(name: &LockName, now: u64, flat: &[Value]) -> Result<LockRecord> {
    let mut fields = HashMap::new();
    for pair in flat.chunks_exact(2) {
        // A later version may have added fields, and these may have any bytes.
        let Some(field) = text(&pair[0]).filter(|field| FIELDS.contains(field)) else { continue };
        let value = text(&pair[1]).ok_or_else(|| corrupt_reason(format!("{field} is not UTF-8")));
        // What an earlier queue has left is not read, so it may have any bytes too.
        let value = if QUEUE_FIELDS.contains(&field) { value.unwrap_or_default() } else { value? };
        fields.insert(field, value);
    }
    let fields = Fields(fields);
    if let Some(version) = fields.0.get("v").filter(|version| **version != VERSION) {
        let version: String = version.chars().take(20).collect();
        return Err(corrupt_reason(format!(
            "a later version of leasehold wrote it with version {version:?}: update this program"
        )));
    }
    let token: u64 = fields.parsed("token")?.ok_or_else(|| corrupt_reason("token is missing"))?;
    let token = if token == 0 { None } else { Some(FencingToken::new(token)?) };
    let lease = match fields.parsed("lease")? {
        Some(id) => {
            let holder = serde_json::from_str(fields.required("holder")?)
                .map_err(|e| corrupt_reason("the holder is corrupt").with_source(e))?;
            let expires_at: u64 = fields.required_parsed("expires_at")?;
            let granted_at: u64 = fields.required_parsed("granted_at")?;
            let lease = LeaseRecord::new(id, holder, micros(expires_at, now))
                .with_held_for(micros(now, granted_at))
                .with_ending(fields.parsed::<Reason>("ending")?);
            Some(lease).filter(|lease| !lease.left.is_zero())
        }
        None => None,
    };
    if lease.is_some() && token.is_none() {
        return Err(corrupt_reason("the lease has no token"));
    }
    let disabled = match fields.parsed("disabled_reason")? {
        Some(reason) => Some(
            Disablement::new(reason)
                .with_by(fields.0.get("disabled_by").map(|&by| by.to_owned()))
                .with_since(micros(now, fields.required_parsed("disabled_at")?)),
        ),
        None => None,
    };
    let record = LockRecord::unused(name.clone()).with_token(token).with_disabled(disabled);
    match lease {
        Some(lease) if lease.id.as_uuid() == MARKER => {
            let queue = StoredQueue {
                kind: fields.required("kind")?,
                lines: fields.required("queue")?,
                token,
                expires_at: fields.required_parsed("expires_at")?,
                ending: lease.ending.as_ref(),
                now,
            };
            let (kind, entries) = queue.read()?;
            Ok(record.with_queue(kind, entries))
        }
        lease => Ok(record.with_lease(lease)),
    }
}

fn micros(later: u64, earlier: u64) -> Duration {
    Duration::from_micros(later.saturating_sub(earlier))
}

fn corrupt_reason(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

struct Fields<'a>(HashMap<&'a str, &'a str>);

impl Fields<'_> {
    fn parsed<T: FromStr<Err: Display>>(&self, field: &str) -> Result<Option<T>> {
        let parse = |text: &&str| {
            text.parse().map_err(|error| corrupt_reason(format!("invalid {field}: {error}")))
        };
        self.0.get(field).map(parse).transpose()
    }

    fn required(&self, field: &str) -> Result<&str> {
        self.0.get(field).copied().ok_or_else(|| corrupt_reason(format!("{field} is missing")))
    }

    fn required_parsed<T: FromStr<Err: Display>>(&self, field: &str) -> Result<T> {
        self.parsed(field)?.ok_or_else(|| corrupt_reason(format!("{field} is missing")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &[(&str, &str)]) -> Result<LockRecord> {
        let fields: Vec<_> =
            fields.iter().map(|(field, value)| (field.as_bytes(), value.as_bytes())).collect();
        record_of_bytes(&fields)
    }

    /// Returns a record whose only entry has this line, with other values for some fields.
    fn marked(changed: &[(&str, &[u8])]) -> Result<LockRecord> {
        let holder = format!(r#"{{"instance":"{MARKER}","host":"h","pid":4}}"#);
        let line = format!(
            r#"{{"l":"{}","p":7,"w":1,"t":5,"x":19,"h":{holder}}}"#,
            "00000000-0000-0000-0000-000000000001"
        );
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (&b"token"[..], &b"7"[..]),
            (b"lease", b"00000000-0000-0000-0000-000000000000"),
            (b"holder", holder.as_bytes()),
            (b"granted_at", b"5"),
            (b"expires_at", b"19"),
            (b"kind", b"fair"),
            (b"queue", line.as_bytes()),
        ];
        for (field, value) in changed {
            fields.retain(|(other, _)| *other != field.as_bytes());
            fields.push((field.as_bytes(), value));
        }
        record_of_bytes(&fields)
    }

    #[test]
    fn a_record_has_a_queue_in_place_of_a_lease() {
        let found = marked(&[]).unwrap();
        assert_eq!((found.kind, found.lease), (crate::LockKind::Fair, None));
        let entries = found.queue.unwrap().entries;
        assert_eq!((entries.len(), entries[0].left), (1, Duration::from_micros(10)));
        let told = marked(&[("ending", b"upkeep")]).unwrap().queue.unwrap();
        assert_eq!(told.entries[0].ending.as_ref().map(Reason::as_str), Some("upkeep"));
        for damage in [
            ("kind", &b"exclusive"[..]),
            ("kind", b"\xff"),
            ("queue", b"\xff"),
            ("queue", b""),
            ("expires_at", b"20"),
            ("token", b"6"),
        ] {
            assert_eq!(marked(&[damage]).unwrap_err().kind(), ErrorKind::Corrupt, "{damage:?}");
        }
    }

    #[test]
    fn what_is_left_of_an_earlier_queue_is_not_read() {
        for left_over in [&b"\xff"[..], b"damaged", b""] {
            let expired = marked(&[("expires_at", b"9"), ("queue", left_over)]).unwrap();
            assert!(!expired.is_in_use(), "{expired:?}");
            let other = b"00000000-0000-0000-0000-000000000001";
            let leased = marked(&[("lease", other), ("kind", left_over)]).unwrap();
            assert!(leased.lease.is_some() && leased.queue.is_none(), "{leased:?}");
        }
    }

    fn record_of_bytes(fields: &[(&[u8], &[u8])]) -> Result<LockRecord> {
        let bulk = |bytes: &[u8]| Value::BulkString(bytes.to_vec());
        let flat = fields.iter().flat_map(|(field, value)| [bulk(field), bulk(value)]).collect();
        let answer = Value::Array(vec![bulk(b"record"), bulk(b"9"), Value::Array(flat)]);
        ScriptReply::new(answer)?.record(&LockName::new("a").unwrap())
    }

    #[test]
    fn unknown_fields_are_ignored_and_later_versions_are_refused() {
        let plain = record(&[("token", "7")]).unwrap();
        assert_eq!(record(&[("token", "7"), ("shoe", "9"), ("v", "1")]).unwrap(), plain);
        for unknown in [(&b"shoe"[..], &b"\xff"[..]), (b"\xff", b"9")] {
            assert_eq!(record_of_bytes(&[(b"token", b"7"), unknown]).unwrap(), plain);
        }
        record_of_bytes(&[(b"token", b"\xff")]).unwrap_err();
        let error = record(&[("token", "7"), ("v", "2")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let listed = LockRecord::unreadable(plain.name, &error).corrupt.unwrap();
        assert!(listed.contains("later version"), "{listed}");
    }
}
