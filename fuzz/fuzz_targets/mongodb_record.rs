//! Any document in MongoDB is a record or is reported as corrupt. A record that was written is read
//! unchanged.
#![no_main]

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use leasehold::{ErrorKind, LockRecord, fuzzing};
use leasehold_fuzz::{Edit, Written, edited};
use mongodb::bson::{Bson, DateTime, Document, doc};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    written: Written,
    damage: Vec<Damage<'a>>,
    /// These are the bytes of a document, which replaces the written one.
    bytes: Option<&'a [u8]>,
}

#[derive(Debug, Arbitrary)]
enum Damage<'a> {
    /// Edits a text.
    Edit(u8, Vec<Edit<'a>>),
    /// Replaces any field.
    Replace(u8, AnyValue),
    Remove(u8),
    Add(&'a str, AnyValue),
    /// Replaces a field of the document `disabled`.
    Disabled(&'a str, AnyValue),
}

/// This is a value of any type.
#[derive(Debug)]
struct AnyValue(Bson);

impl<'a> Arbitrary<'a> for AnyValue {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self(match u.int_in_range(0..=8)? {
            0 => Bson::Null,
            1 => Bson::Int32(u.arbitrary()?),
            2 => Bson::Int64(u.arbitrary()?),
            3 => Bson::Double(u.arbitrary()?),
            4 => Bson::String(u.arbitrary()?),
            5 => Bson::Boolean(u.arbitrary()?),
            6 => Bson::DateTime(DateTime::from_millis(u.arbitrary()?)),
            7 => {
                let fields: Vec<(String, Self)> = u.arbitrary()?;
                Bson::Document(fields.into_iter().map(|(name, value)| (name, value.0)).collect())
            }
            _ => {
                let values: Vec<Self> = u.arbitrary()?;
                Bson::Array(values.into_iter().map(|value| value.0).collect())
            }
        }))
    }
}

libfuzzer_sys::fuzz_target!(|input: Input<'_>| {
    let Input { written: Written(record), damage, bytes } = input;
    let intact = damage.is_empty() && bytes.is_none();
    let document = match bytes {
        Some(mut bytes) => match Document::from_reader(&mut bytes) {
            Ok(document) => document,
            Err(_) => return,
        },
        None => damaged(document(&record), &damage),
    };
    match fuzzing::mongodb::record(&document) {
        Ok(read) if intact => assert_eq!(read, record),
        Ok(read) => assert!(read.lease.is_none() || read.token.is_some(), "{read:?}"),
        Err(error) if intact => panic!("{document:?} is answered with {error:?}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}"),
    }
});

const NOW: i64 = 1_700_000_000_000;

/// Returns the document as the pipelines write it, read with the server's time.
fn document(record: &LockRecord) -> Document {
    let before = |duration: Duration| NOW - duration.as_millis() as i64;
    let mut document = doc! {
        "_id": record.name.as_str(),
        "token": record.token.map_or(0, i64::from),
        "signal": 0_i64,
        "now": NOW,
    };
    if let Some(lease) = &record.lease {
        document.extend(doc! {
            "lease": lease.id.to_string(),
            "holder": serde_json::to_string(&lease.holder).unwrap(),
            "granted": before(lease.held_for),
            "expires": NOW + lease.left.as_millis() as i64,
        });
        if let Some(reason) = &lease.ending {
            document.insert("ending", reason.as_str());
        }
    }
    if let Some(disabled) = &record.disabled {
        let mut parts = doc! { "reason": disabled.reason.as_str(), "at": before(disabled.since) };
        if let Some(by) = &disabled.by {
            parts.insert("by", by);
        }
        document.insert("disabled", parts);
    }
    document
}

fn damaged(mut document: Document, damage: &[Damage<'_>]) -> Document {
    for damage in damage {
        let of =
            |field: u8| document.keys().nth(usize::from(field) % document.len().max(1)).cloned();
        match damage {
            Damage::Edit(field, edits) => {
                let field = of(*field).unwrap_or_default();
                if let Some(Bson::String(text)) = document.get_mut(&field) {
                    let bytes = edited(text.as_bytes(), edits);
                    *text = String::from_utf8_lossy(&bytes).into_owned();
                }
            }
            Damage::Replace(field, value) => {
                _ = document.insert(of(*field).unwrap_or_default(), value.0.clone());
            }
            Damage::Remove(field) => _ = document.remove(of(*field).unwrap_or_default()),
            Damage::Add(field, value) => _ = document.insert(*field, value.0.clone()),
            Damage::Disabled(field, value) => {
                if let Ok(parts) = document.get_document_mut("disabled") {
                    parts.insert(*field, value.0.clone());
                }
            }
        }
    }
    document
}
