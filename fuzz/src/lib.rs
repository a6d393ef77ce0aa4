//! This module has helpers that the targets share: records as Leasehold writes them, and edits that
//! damage them.

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use leasehold::{
    Disablement, FencingToken, Holder, LeaseId, LeaseRecord, LockName, LockRecord, Reason,
};
use uuid::Uuid;

/// This is a record that a store may hold. Its durations are whole milliseconds.
#[derive(Clone, Debug)]
pub struct Written(pub LockRecord);

impl<'a> Arbitrary<'a> for Written {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let lease: Option<LeaseRecord> = u.ratio(2, 3)?.then(|| lease(u)).transpose()?;
        let token = match lease.is_some() || u.arbitrary()? {
            true => Some(token(u)?),
            false => None,
        };
        let disabled = match u.arbitrary()? {
            true => Some(
                Disablement::new(reason(u)?)
                    .with_by(u.arbitrary::<Option<String>>()?)
                    .with_since(millis(u)?),
            ),
            false => None,
        };
        Ok(Self(
            LockRecord::unused(name(u)?)
                .with_token(token)
                .with_lease(lease)
                .with_disabled(disabled),
        ))
    }
}

fn lease(u: &mut Unstructured<'_>) -> Result<LeaseRecord> {
    let ending = match u.arbitrary()? {
        true => Some(reason(u)?),
        false => None,
    };
    // The nil UUID is not a lease id: it says that the name has a queue.
    let id = LeaseId::from_uuid(Uuid::from_u128(u.arbitrary::<u128>()?.max(1)));
    let instance = Uuid::from_u128(u.arbitrary()?);
    let mut holder = Holder::new(instance, u.arbitrary::<String>()?, u.arbitrary()?);
    holder.label = u.arbitrary()?;
    let left = Duration::from_millis(1) + millis(u)?;
    Ok(LeaseRecord::new(id, holder, left).with_held_for(millis(u)?).with_ending(ending))
}

fn token(u: &mut Unstructured<'_>) -> Result<FencingToken> {
    Ok(FencingToken::new(u.int_in_range(1..=FencingToken::LIMIT - 1)?).unwrap())
}

/// Returns a duration of at most a day, which is the longest lease.
fn millis(u: &mut Unstructured<'_>) -> Result<Duration> {
    u.int_in_range(0..=86_399_000).map(Duration::from_millis)
}

fn name(u: &mut Unstructured<'_>) -> Result<LockName> {
    Ok(LockName::new(text(u, LockName::MAX_BYTES)?).unwrap())
}

fn reason(u: &mut Unstructured<'_>) -> Result<Reason> {
    Ok(Reason::new(text(u, Reason::MAX_BYTES)?).unwrap())
}

/// Returns a text of 1 to `most` bytes without NUL.
fn text(u: &mut Unstructured<'_>, most: usize) -> Result<String> {
    let mut text: String = u.arbitrary::<&str>()?.replace('\0', "0");
    while text.len() > most {
        text.pop();
    }
    if text.is_empty() {
        text.push('x');
    }
    Ok(text)
}

/// This is an edit that removes some bytes of a value and inserts others in their place.
#[derive(Clone, Debug, Arbitrary)]
pub struct Edit<'a> {
    at: u8,
    take: u8,
    put: &'a [u8],
}

/// Returns the value after the edits.
pub fn edited(value: &[u8], edits: &[Edit<'_>]) -> Vec<u8> {
    let mut value = value.to_vec();
    for Edit { at, take, put } in edits {
        let start = usize::from(*at) % (value.len() + 1);
        let end = value.len().min(start + usize::from(*take));
        value.splice(start..end, put.iter().copied());
    }
    value
}
