//! Reads and writes the entry of a queue, as strictly as the other [records](super::record).

use std::time::Duration;

use etcd_client::KeyValue;
use serde_json::json;

use super::record::{corrupt, now, object, since, unattached};
use crate::{EnterOptions, Holder, LeaseId, LockKind, Result};

/// A stored entry of a queue is live as long as its key exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredEntry {
    pub(super) lease: LeaseId,
    /// The kind of the lock, which all entries of the queue have in common.
    pub(super) kind: LockKind,
    pub(super) weight: u32,
    pub(super) holder: Holder,
    /// How long ago the entry was made, by the calendar clocks of the machines.
    pub(super) entered: Duration,
    /// The etcd lease that the key is attached to.
    pub(super) etcd_lease: i64,
    /// The revision in which the key was created, which is the token.
    pub(super) created: i64,
    /// The revision in which the key was put.
    pub(super) revision: i64,
}

pub(super) fn read(kv: &KeyValue) -> Result<StoredEntry> {
    let mut value = object(kv)?;
    let entered = since(kv, &value)?;
    // The name before the separator was read from the key already.
    let id = kv.key().rsplit(|byte| *byte == 0).next().unwrap_or_default();
    let lease = std::str::from_utf8(id)
        .ok()
        .and_then(|id| id.parse::<LeaseId>().ok())
        .filter(|lease| !lease.as_uuid().is_nil())
        .ok_or_else(|| corrupt(kv, "it does not end with a lease id"))?;
    let kind = value["kind"]
        .as_str()
        .and_then(|code| code.parse::<LockKind>().ok())
        .filter(|kind| kind.has_queue())
        .ok_or_else(|| corrupt(kv, "it has no kind of lock with a queue"))?;
    let weight = value["weight"]
        .as_u64()
        .and_then(|weight| u32::try_from(weight).ok())
        .filter(|weight| (1..=kind.capacity()).contains(weight))
        .ok_or_else(|| corrupt(kv, "its weight is not valid"))?;
    let holder = serde_json::from_value(value["holder"].take())
        .map_err(|error| corrupt(kv, "it names no holder").with_source(error))?;
    if kv.lease() == 0 {
        return Err(unattached(kv));
    }
    Ok(StoredEntry {
        lease,
        kind,
        weight,
        holder,
        entered,
        etcd_lease: kv.lease(),
        created: kv.create_revision(),
        revision: kv.mod_revision(),
    })
}

/// Returns the value that is written for a new entry.
pub(super) fn value(options: &EnterOptions) -> Vec<u8> {
    let EnterOptions { kind, weight, holder, .. } = options;
    json!({ "kind": kind, "weight": weight, "holder": holder, "at": now() })
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::PbKeyValue;

    use super::*;
    use crate::etcd::keys::Keys;
    use crate::{ErrorKind, LockName, Namespace};

    fn kv(lease: &str, value: &[u8], etcd_lease: i64) -> KeyValue {
        let key = [b"/a/entry/x\0", lease.as_bytes()].concat();
        KeyValue(PbKeyValue {
            key,
            value: value.to_vec(),
            lease: etcd_lease,
            create_revision: 5,
            mod_revision: 7,
            ..PbKeyValue::default()
        })
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let ttl = Duration::from_secs(9);
        let kind = LockKind::semaphore(3).unwrap();
        let options = EnterOptions::new(LeaseId::new(), Holder::current(), ttl, kind);
        let options = options.with_weight(2);
        let keys = Keys::new("", &Namespace::new("a").unwrap());
        let written = kv(&options.lease.to_string(), &value(&options), 4);
        assert_eq!(written.key(), keys.entry(&LockName::new("x").unwrap(), options.lease));
        let read = read(&written).unwrap();
        assert_eq!((read.lease, read.kind, read.weight), (options.lease, kind, 2));
        assert_eq!((read.etcd_lease, read.created, read.revision), (4, 5, 7));
        assert_eq!(read.holder, options.holder);
    }

    #[test]
    fn what_leasehold_did_not_write_is_corrupt() {
        let holder = serde_json::to_string(&Holder::current()).unwrap();
        let value = |kind: &str, weight: &str, more: &str| {
            format!(r#"{{"kind": {kind}, "weight": {weight}, "holder": {holder}, "at": 1{more}}}"#)
        };
        let id = LeaseId::new().to_string();
        read(&kv(&id, value(r#""fair""#, "1", r#", "color": 1"#).as_bytes(), 4)).unwrap();
        let good = value(r#""fair""#, "1", "");
        let (id, upper) = (id.as_str(), id.to_uppercase());
        for (lease, value, etcd_lease) in [
            (id, good.clone(), 0),
            ("", good.clone(), 4),
            ("x", good.clone(), 4),
            (upper.as_str(), good.clone(), 4),
            ("00000000-0000-0000-0000-000000000000", good, 4),
            (id, value(r#""exclusive""#, "1", ""), 4),
            (id, value(r#""semaphore:03""#, "1", ""), 4),
            (id, value("1", "1", ""), 4),
            (id, value(r#""fair""#, "2", ""), 4),
            (id, value(r#""fair""#, "0", ""), 4),
            (id, value(r#""fair""#, "-1", ""), 4),
            (id, value(r#""fair""#, "1", r#", "version": 2"#), 4),
            (id, "{}".to_owned(), 4),
            (id, "x".to_owned(), 4),
        ] {
            let error = read(&kv(lease, value.as_bytes(), etcd_lease)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{lease} {value}: {error}");
        }
    }
}
