//! Reads the values of the keys strictly: a value that Leasehold did not write is an error. Unknown
//! fields are ignored, unless the value states that a later version wrote it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use etcd_client::KeyValue;
use serde_json::{Value, json};

use super::keys::Keys;
use crate::{
    DisableOptions, Disablement, Error, ErrorKind, FencingToken, Holder, LeaseId, Presence, Reason,
    Result,
};

/// The version of the values that are written here. A value of version 1 does not state it.
const VERSION: u64 = 1;

/// The key of a lease in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredLease {
    pub(super) id: LeaseId,
    /// The etcd lease that the key is attached to.
    pub(super) etcd_lease: i64,
    /// The revision in which the key was put.
    pub(super) revision: i64,
}

pub(super) fn lease(kv: &KeyValue) -> Result<StoredLease> {
    let id = text(kv)?
        .parse()
        .map_err(|error| corrupt(kv, "it is not a lease id").with_source(error))?;
    if kv.lease() == 0 {
        return Err(unattached(kv));
    }
    Ok(StoredLease { id, etcd_lease: kv.lease(), revision: kv.mod_revision() })
}

pub(super) fn holder(kv: &KeyValue) -> Result<(Holder, Duration)> {
    let mut value = object(kv)?;
    let since = since(kv, &value)?;
    let holder = serde_json::from_value(value["holder"].take())
        .map_err(|error| corrupt(kv, "it names no holder").with_source(error))?;
    Ok((holder, since))
}

pub(super) fn holder_value(holder: &Holder) -> Vec<u8> {
    json!({ "holder": holder, "at": now() }).to_string().into_bytes()
}

pub(super) fn ending(kv: &KeyValue) -> Result<Reason> {
    Reason::new(text(kv)?)
        .map_err(|error| corrupt(kv, "it is not a valid reason").with_source(error))
}

pub(super) fn token(kv: &KeyValue) -> Result<FencingToken> {
    if let Ok(value) = serde_json::from_slice(kv.value()) {
        check_version(kv, &value)?;
    }
    self::token_of(kv.mod_revision())
}

/// Returns the value that is written with a grant: its time, by the new holder's calendar clock.
pub(super) fn granted_value() -> Vec<u8> {
    json!({ "at": now() }).to_string().into_bytes()
}

/// Returns how long ago the grant was; `None` if the value has no time.
pub(super) fn granted_since(kv: &KeyValue) -> Option<Duration> {
    let value: Value = serde_json::from_slice(kv.value()).ok()?;
    since(kv, &value).ok()
}

pub(super) fn token_of(revision: i64) -> Result<FencingToken> {
    FencingToken::new(u64::try_from(revision).unwrap_or(0))
}

pub(super) fn disabled(kv: &KeyValue) -> Result<Disablement> {
    let value = object(kv)?;
    let reason = value["reason"].as_str().unwrap_or_default();
    let reason =
        Reason::new(reason).map_err(|error| corrupt(kv, "it has no reason").with_source(error))?;
    let by = match &value["by"] {
        Value::Null => None,
        Value::String(by) => Some(by.clone()),
        _ => return Err(corrupt(kv, "\"by\" is not text")),
    };
    Ok(Disablement::new(reason).with_by(by).with_since(since(kv, &value)?))
}

pub(super) fn disabled_value(options: &DisableOptions) -> Vec<u8> {
    let DisableOptions { reason, by, .. } = options;
    json!({ "reason": reason, "by": by, "at": now() }).to_string().into_bytes()
}

/// Returns the text that is stored for an instance, and the etcd lease to which it is attached.
pub(super) fn instance(kv: &KeyValue) -> Result<(String, i64)> {
    object(kv)?;
    if kv.lease() == 0 {
        return Err(unattached(kv));
    }
    Ok((text(kv)?.to_owned(), kv.lease()))
}

/// Returns the etcd lease to which an instance is attached. Returns `None` unless Leasehold wrote
/// the value for this instance, since a lease of another program must not be changed.
pub(super) fn instance_lease(kv: &KeyValue, keys: &Keys) -> Option<i64> {
    let presence: Presence = serde_json::from_value(object(kv).ok()?).ok()?;
    let is_own = keys.instance(presence.holder.instance) == kv.key();
    (is_own && kv.lease() != 0).then_some(kv.lease())
}

/// Returns the microseconds of this machine's calendar clock. They are shown to people, and decide
/// nothing.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn since(kv: &KeyValue, value: &Value) -> Result<Duration> {
    let at = value["at"].as_u64().ok_or_else(|| corrupt(kv, "it has no time"))?;
    Ok(Duration::from_micros(now().saturating_sub(at)))
}

fn text(kv: &KeyValue) -> Result<&str> {
    std::str::from_utf8(kv.value())
        .map_err(|error| corrupt(kv, "it is not UTF-8 text").with_source(error))
}

pub(super) fn object(kv: &KeyValue) -> Result<Value> {
    match serde_json::from_slice(kv.value()) {
        Ok(value @ Value::Object(_)) => check_version(kv, &value).map(|()| value),
        Ok(_) => Err(corrupt(kv, "it is not a JSON object")),
        Err(error) => Err(corrupt(kv, "it is not JSON").with_source(error)),
    }
}

/// Refuses a value of a later version, in which fields may have another meaning.
fn check_version(kv: &KeyValue, value: &Value) -> Result<()> {
    match value.get("version") {
        None => Ok(()),
        Some(version) => match version.as_u64() {
            Some(..=VERSION) => Ok(()),
            Some(version) => {
                let key = String::from_utf8_lossy(kv.key());
                let message = format!("a later version of leasehold wrote the key {key:?}");
                Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("{message} with version {version}; this program reads {VERSION}"),
                )
                .with_fix("update leasehold in this program, too"))
            }
            None => Err(corrupt(kv, "its version is not a number")),
        },
    }
}

pub(super) fn corrupt(kv: &KeyValue, what: &str) -> Error {
    let key = String::from_utf8_lossy(kv.key());
    Error::new(ErrorKind::Corrupt, format!("the key {key:?} is corrupt: {what}"))
        .with_fix("delete it, or use another namespace; fencing tokens still increase")
}

pub(super) fn unattached(kv: &KeyValue) -> Error {
    corrupt(kv, "it has no etcd lease and would never expire")
}

/// Returns the error for the key of a lease whose holder's key is missing.
pub(super) fn contradiction(lease: &[u8]) -> Error {
    let key = String::from_utf8_lossy(lease);
    Error::new(ErrorKind::Corrupt, format!("the key {key:?} has no matching key of a holder"))
        .with_fix("delete it; fencing tokens still increase")
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::PbKeyValue;

    use super::*;
    use crate::{LockName, Namespace};

    fn kv(key: &[u8], value: &[u8], lease: i64) -> KeyValue {
        let (key, value) = (key.to_vec(), value.to_vec());
        KeyValue(PbKeyValue { key, value, lease, mod_revision: 7, ..PbKeyValue::default() })
    }

    #[test]
    fn unknown_fields_are_ignored_and_later_versions_are_refused() {
        let read = |more: &str| {
            let holder = serde_json::to_string(&Holder::current()).unwrap();
            let held = format!("{{\"holder\": {holder}, \"at\": 1 {more}}}");
            let off = format!("{{\"reason\": \"upkeep\", \"by\": null, \"at\": 1 {more}}}");
            [
                holder_of(&held),
                disabled(&kv(b"/a/disabled/x", off.as_bytes(), 0)).map(drop),
                token(&kv(b"/a/granted/x", off.as_bytes(), 0)).map(drop),
            ]
        };
        for more in ["", ", \"color\": [1]", ", \"version\": 1"] {
            read(more).into_iter().for_each(|read| read.unwrap());
        }
        for more in [", \"version\": 2", ", \"version\": 1e9"] {
            for read in read(more) {
                let error = read.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            }
        }
        for read in read(", \"version\": 2") {
            let message = read.unwrap_err().to_string();
            assert!(message.contains("a later version of leasehold wrote the key"), "{message}");
        }
    }

    fn holder_of(value: &str) -> Result<()> {
        holder(&kv(b"/a/holder/x", value.as_bytes(), 7)).map(drop)
    }

    #[test]
    fn instance_records_round_trip_or_fail() {
        let key = b"/a/instance/x";
        let read = instance(&kv(key, b"{\"unlisted\": 3}", 7)).unwrap();
        assert_eq!(read, ("{\"unlisted\": 3}".to_owned(), 7));
        let values: [(&[u8], i64); 4] =
            [(b"{}", 0), (b"not JSON", 7), (b"\xff", 7), (b"{\"version\": 2}", 7)];
        for (value, lease) in values {
            let error = instance(&kv(key, value, lease)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains("/a/instance/x"), "{error}");
        }
    }

    #[test]
    fn only_a_record_of_leasehold_has_a_lease() {
        let keys = Keys::new("", &Namespace::new("a").unwrap());
        let campaigns = vec![LockName::new("a").unwrap()];
        let presence = Presence::new(Holder::current(), campaigns).with_unlisted(3);
        let key = keys.instance(presence.holder.instance);
        let text = serde_json::to_vec(&presence).unwrap();
        assert_eq!(instance_lease(&kv(&key, &text, 7), &keys), Some(7));
        let other = keys.instance(uuid::Uuid::now_v7());
        for (key, text, lease) in [
            (&key, &text[..], 0),
            (&key, b"{}", 7),
            (&key, b"not JSON", 7),
            (&other, &text, 7),
            (&key.to_ascii_uppercase(), &text, 7),
        ] {
            assert_eq!(instance_lease(&kv(key, text, lease), &keys), None);
        }
    }
}
