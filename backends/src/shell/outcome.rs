//! Derives the outcome of a call from a record.

use crate::{
    AcquireOutcome, Error, ErrorKind, Grant, Held, LeaseId, LeaseRecord, LockKind, LockRecord,
    RenewOutcome, Result,
};

/// Returns the outcome of an attempt that the record refuses; `None` if it refuses nothing.
///
/// An attempt whose lease is in force has been granted.
///
/// [`LockRecord::enter_outcome`] does the same for an attempt to enter a queue.
///
/// # Errors
/// * [`Corrupt`](ErrorKind::Corrupt) if the lease has no token.
/// * [`Conflict`](ErrorKind::Conflict) if the name has a queue.
pub fn acquire_outcome(record: LockRecord, lease: LeaseId) -> Result<Option<AcquireOutcome>> {
    let LockRecord { name, token, kind, lease: current, queue, disabled, .. } = record;
    if let Some(disabled) = disabled {
        return Ok(Some(AcquireOutcome::Disabled(disabled)));
    }
    if queue.is_some() {
        return Err(LockKind::Exclusive.conflict(kind, &name));
    }
    let Some(LeaseRecord { id, holder, left, .. }) = current else { return Ok(None) };
    let token = token.ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, "the lease in force has no token").for_lock(&name)
    })?;
    Ok(Some(if id == lease {
        AcquireOutcome::Granted(Grant::new(token, left))
    } else {
        AcquireOutcome::Held(Held::new(holder, token, left))
    }))
}

/// Returns the outcome of a renewal, as the record shows it that was read after the renewal.
///
/// A [`Backend`](super::Backend) whose client decides passes the record as it is after the update.
/// [`LockRecord::renew_entry_outcome`] does the same for an entry of a queue.
#[must_use]
pub fn renew_outcome(record: LockRecord, lease: LeaseId) -> RenewOutcome {
    let disabled = record.disabled.map(|disabled| disabled.reason);
    match record.lease {
        Some(own) if own.id == lease => match own.ending.or(disabled) {
            Some(reason) => RenewOutcome::disabled(reason, own.left),
            None => RenewOutcome::extended(own.left),
        },
        _ => RenewOutcome::Lost,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Disablement, EntryRecord, FencingToken, Holder, LockName, Reason};

    const LEFT: Duration = Duration::from_secs(3);

    fn held(id: LeaseId) -> LockRecord {
        let lease = LeaseRecord::new(id, Holder::current(), LEFT);
        LockRecord::unused(LockName::new("a").unwrap())
            .with_token(FencingToken::new(7).unwrap())
            .with_lease(lease)
    }

    fn disabled() -> Option<Disablement> {
        let reason = Reason::new("upkeep").unwrap();
        Some(Disablement::new(reason))
    }

    #[test]
    fn a_record_determines_the_outcome_of_an_attempt() {
        let (own, other) = (LeaseId::new(), LeaseId::new());
        let unused = LockRecord::unused(LockName::new("a").unwrap());
        assert_eq!(acquire_outcome(unused, own).unwrap(), None);
        let outcome = acquire_outcome(held(own), own).unwrap();
        assert!(matches!(outcome, Some(AcquireOutcome::Granted(Grant { left: LEFT, .. }))));
        let outcome = acquire_outcome(held(other), own).unwrap();
        assert!(matches!(outcome, Some(AcquireOutcome::Held(Held { left: LEFT, .. }))));
        let disabled = held(own).with_disabled(disabled());
        let outcome = acquire_outcome(disabled, own).unwrap();
        assert!(matches!(outcome, Some(AcquireOutcome::Disabled(_))), "{outcome:?}");
        let entry = EntryRecord::new(own, Holder::current(), FencingToken::new(7).unwrap(), LEFT);
        let queue =
            LockRecord::unused(LockName::new("a").unwrap()).with_queue(LockKind::Fair, vec![entry]);
        assert_eq!(acquire_outcome(queue, own).unwrap_err().kind(), ErrorKind::Conflict);
        let mut without_token = held(other);
        without_token.token = None;
        assert_eq!(acquire_outcome(without_token, own).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_record_determines_the_outcome_of_a_renewal() {
        let (own, other) = (LeaseId::new(), LeaseId::new());
        assert_eq!(renew_outcome(held(own), own), RenewOutcome::extended(LEFT));
        assert_eq!(renew_outcome(held(other), own), RenewOutcome::Lost);
        let disabled = held(own).with_disabled(disabled());
        let outcome = renew_outcome(disabled, own);
        assert!(matches!(outcome, RenewOutcome::Disabled { left: LEFT, .. }), "{outcome:?}");
        // The name was disabled and enabled again.
        let mut ending = held(own);
        ending.lease.as_mut().unwrap().ending = Some(Reason::new("earlier").unwrap());
        let RenewOutcome::Disabled { reason, .. } = renew_outcome(ending, own) else { panic!() };
        assert_eq!(reason.as_str(), "earlier");
    }
}
