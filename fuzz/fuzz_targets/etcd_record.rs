//! Any value under a key in etcd is read or reported as corrupt. A record that was written is read
//! unchanged.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use etcd_client::KeyValue;
use etcd_client::proto::PbKeyValue;
use leasehold::fuzzing::etcd::{self, Read};
use leasehold::{DisableOptions, EnterOptions, ErrorKind, LockKind, Namespace};
use leasehold_fuzz::{Edit, Written, edited};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    written: Written,
    key: Vec<Edit<'a>>,
    value: Vec<Edit<'a>>,
    /// This is a raw value, which replaces the written one.
    raw: Option<&'a [u8]>,
    lease: i64,
    revision: i64,
}

libfuzzer_sys::fuzz_target!(|input: Input<'_>| {
    let namespace = Namespace::default();
    for (key, value, expected) in written(&input, &namespace) {
        let intact = input.key.is_empty() && input.value.is_empty() && input.raw.is_none();
        let value = input.raw.map_or_else(|| edited(&value, &input.value), <[u8]>::to_vec);
        let key = edited(&key, &input.key);
        let (lease, mod_revision) = (input.lease, input.revision);
        let kv = KeyValue(PbKeyValue { key, value, lease, mod_revision, ..PbKeyValue::default() });
        match etcd::read(&namespace, &kv) {
            None => assert!(!input.key.is_empty()),
            Some((name, Ok(read))) if intact => {
                assert_eq!(name, input.written.0.name.as_str());
                assert_same(read, expected);
            }
            Some((_, Ok(_))) => {}
            Some((_, Err(error))) => {
                let unattached =
                    matches!(expected, Read::Lease(..) | Read::Entry(..)) && lease == 0;
                let no_token = matches!(expected, Read::Granted(_));
                assert!(!intact || unattached || no_token, "{kv:?} is answered with {error:?}");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
            }
        }
    }
});

/// Returns the keys and values of a record.
fn written(input: &Input<'_>, namespace: &Namespace) -> Vec<(Vec<u8>, Vec<u8>, Read)> {
    let record = &input.written.0;
    let [lease_key, holder_key, ending_key, granted_key, disabled_key, leave_key] =
        etcd::keys(namespace, &record.name);
    let mut written = Vec::new();
    if let Some(lease) = &record.lease {
        let id = lease.id.to_string().into_bytes();
        written.push((lease_key, id, Read::Lease(lease.id, input.lease)));
        let read = Read::Holder(lease.holder.clone(), Duration::ZERO);
        written.push((holder_key, etcd::holder(&lease.holder), read));
        if let Some(reason) = &lease.ending {
            written.push((ending_key, reason.as_str().into(), Read::Ending(reason.clone())));
            written.push((leave_key, reason.as_str().into(), Read::LeaveReason(reason.clone())));
        }
        let kind = LockKind::ReaderWriter;
        let entry = EnterOptions::new(lease.id, lease.holder.clone(), Duration::from_secs(9), kind);
        let entry = entry.with_weight(LockKind::WRITER_WEIGHT);
        let key = etcd::entry_key(namespace, &record.name, lease.id);
        let read = Read::Entry(lease.id, kind, entry.weight, lease.holder.clone(), input.lease);
        written.push((key, etcd::entry_value(&entry), read));
    }
    if let Some(token) = record.token {
        written.push((granted_key, Vec::new(), Read::Granted(token)));
    }
    if let Some(disabled) = &record.disabled {
        let (reason, by) = (disabled.reason.clone(), disabled.by.clone());
        let value = etcd::disabled(&DisableOptions::new(reason).with_by(by));
        written.push((disabled_key, value, Read::Disabled(disabled.clone())));
    }
    written
}

/// Asserts that both are the same. The times come from this machine, and the token is the revision.
fn assert_same(read: Read, expected: Read) {
    match (read, expected) {
        (Read::Holder(read, since), Read::Holder(written, _)) => {
            assert_eq!(read, written);
            assert!(since < Duration::from_secs(60), "{since:?}");
        }
        (Read::Disabled(read), Read::Disabled(written)) => {
            assert_eq!((read.reason, read.by), (written.reason, written.by));
        }
        (Read::Granted(_), Read::Granted(_)) => {}
        (read, expected) => assert_eq!(read, expected),
    }
}
