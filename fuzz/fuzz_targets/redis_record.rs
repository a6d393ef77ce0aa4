//! Any reply of Redis is a record or is reported as corrupt. A record that was written is read
//! unchanged.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use leasehold::{ErrorKind, LeaseRecord, LockKind, LockRecord, fuzzing};
use leasehold_fuzz::{Edit, Written, edited};
use redis::Value;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    written: Written,
    word: Word<'a>,
    damage: Vec<Damage<'a>>,
    replacement: Option<AnyValue>,
    /// This is true if the lease is that of the only entry of a queue.
    queued: bool,
}

#[derive(Debug, Arbitrary)]
enum Word<'a> {
    Record,
    Damaged,
    Ending,
    Other(&'a str),
}

impl Word<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Record => "record",
            Self::Damaged => "damaged",
            Self::Ending => "ending",
            Self::Other(word) => word,
        }
    }
}

#[derive(Debug, Arbitrary)]
enum Damage<'a> {
    /// Edits the value of a field.
    Edit(u8, Vec<Edit<'a>>),
    Remove(u8),
    Add(&'a str, &'a [u8]),
    /// Replaces any element of the list of fields and values.
    Replace(u8, AnyValue),
    /// Replaces the time.
    Now(&'a [u8]),
}

/// Any value of the protocol.
#[derive(Debug)]
struct AnyValue(Value);

impl<'a> Arbitrary<'a> for AnyValue {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self(match u.int_in_range(0..=7)? {
            0 => Value::Nil,
            1 => Value::Int(u.arbitrary()?),
            2 => Value::BulkString(u.arbitrary()?),
            3 => Value::SimpleString(u.arbitrary()?),
            4 => Value::Okay,
            5 => Value::Double(u.arbitrary()?),
            6 => Value::Boolean(u.arbitrary()?),
            _ => {
                let values: Vec<Self> = u.arbitrary()?;
                Value::Array(values.into_iter().map(|value| value.0).collect())
            }
        }))
    }
}

libfuzzer_sys::fuzz_target!(|input: Input<'_>| {
    let Input { written: Written(record), word, damage, replacement, queued } = input;
    let intact = damage.is_empty() && replacement.is_none() && !matches!(word, Word::Damaged);
    let answer = replacement
        .map_or_else(|| answer(&record, &word, &damage, queued), |replacement| replacement.0);

    match fuzzing::redis::renewed(&record.name, answer.clone()) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}"),
    }
    match fuzzing::redis::record(&record.name, answer) {
        Ok((_, read)) if intact => assert_eq!(with_lease(read), record),
        Ok((_, read)) => assert!(read.lease.is_none() || read.token.is_some(), "{read:?}"),
        Err(error) if intact => panic!("{record:?} is answered with {error:?}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}"),
    }
});

const NOW: u64 = 1_700_000_000_000_000;

/// Returns the reply of the scripts after the damage.
fn answer(record: &LockRecord, word: &Word<'_>, damage: &[Damage<'_>], queued: bool) -> Value {
    let mut fields = fields(record, queued);
    let mut now = NOW.to_string().into_bytes();
    for damage in damage {
        let of = |field: u8| usize::from(field) % fields.len().max(1);
        match damage {
            Damage::Edit(field, edits) => {
                let field = of(*field);
                if let Some((_, value)) = fields.get_mut(field) {
                    *value = edited(value, edits);
                }
            }
            Damage::Remove(field) => _ = fields.drain(of(*field)..).next(),
            Damage::Add(name, value) => fields.push(((*name).to_owned(), value.to_vec())),
            Damage::Now(bytes) => now = bytes.to_vec(),
            Damage::Replace(..) => {}
        }
    }
    let mut flat: Vec<_> = fields
        .into_iter()
        .flat_map(|(name, value)| [name.into_bytes(), value])
        .map(Value::BulkString)
        .collect();
    for damage in damage {
        if let Damage::Replace(at, value) = damage {
            let at = usize::from(*at) % flat.len().max(1);
            flat.splice(at..flat.len().min(at + 1), [value.0.clone()]);
        }
    }
    let word = Value::BulkString(word.as_str().into());
    Value::Array(vec![word, Value::BulkString(now), Value::Array(flat)])
}

/// Returns the record with a lease in place of the only entry of its queue.
fn with_lease(mut read: LockRecord) -> LockRecord {
    if let Some(mut queue) = read.queue.take() {
        let entry = queue.entries.remove(0);
        assert_eq!((read.kind, Some(entry.token)), (LockKind::Fair, read.token));
        read.kind = LockKind::Exclusive;
        let lease = LeaseRecord::new(entry.id, entry.holder, entry.left)
            .with_held_for(entry.entered)
            .with_ending(entry.ending);
        read.lease = Some(lease);
    }
    read
}

fn fields(record: &LockRecord, queued: bool) -> Vec<(String, Vec<u8>)> {
    let mut fields = Vec::new();
    let mut put = |name: &str, value: String| fields.push((name.to_owned(), value.into_bytes()));
    let micros = |duration: std::time::Duration| duration.as_micros() as u64;
    put("token", record.token.map_or(0, leasehold::FencingToken::get).to_string());
    if let Some(lease) = &record.lease {
        let holder = serde_json::to_string(&lease.holder).unwrap();
        let (granted_at, expires_at) = (NOW - micros(lease.held_for), NOW + micros(lease.left));
        if queued {
            let token = record.token.map_or(0, leasehold::FencingToken::get);
            put("lease", "00000000-0000-0000-0000-000000000000".to_owned());
            put("kind", LockKind::Fair.code());
            put(
                "queue",
                format!(
                    r#"{{"l":"{}","p":{token},"w":1,"t":{granted_at},"x":{expires_at},"h":{holder}}}"#,
                    lease.id
                ),
            );
        } else {
            put("lease", lease.id.to_string());
        }
        put("holder", holder);
        put("granted_at", granted_at.to_string());
        put("expires_at", expires_at.to_string());
        if let Some(reason) = &lease.ending {
            put("ending", reason.to_string());
        }
    }
    if let Some(disabled) = &record.disabled {
        put("disabled_reason", disabled.reason.to_string());
        put("disabled_at", (NOW - micros(disabled.since)).to_string());
        if let Some(by) = &disabled.by {
            put("disabled_by", by.clone());
        }
    }
    fields
}
