//! This is the rule of a fence: whether a term may write, by the two numbers of its name.

use leasehold_core::{ErrorKind, FencingToken};

use crate::error::{Error, NotRaised, Result, Stale};
use crate::term::Term;

/// Fails unless a term may write.
///
/// The intent is the largest floor whose raise has begun, and `raised` the largest one that was
/// raised.
pub(crate) fn may_write(term: &Term, intent: Option<i64>, raised: Option<i64>) -> Result<()> {
    refuse_stale(term, intent)?;
    refuse_stale(term, raised)?;
    let floor = i64::from(term.floor());
    let Some(raised) = raised.filter(|raised| *raised >= floor) else {
        return Err(if intent.is_some_and(|intent| intent >= floor) {
            being_raised(term, "the fence is being raised for this term, and is not raised yet")
        } else {
            Error::NotRaised(NotRaised::new(term.name(), term.token()))
        });
    };
    if intent.is_some_and(|intent| intent > raised) {
        return Err(being_raised(term, "another holder of the lock is raising its fence"));
    }
    Ok(())
}

/// Returns the error for a term that may write once a raise has ended.
fn being_raised(term: &Term, message: &str) -> Error {
    Error::Conflict(
        leasehold_core::Error::new(ErrorKind::Unavailable, message)
            .with_fix("roll back, and run the transaction again, or raise this fence again")
            .for_lock(term.name()),
    )
}

/// Refuses a term below that floor.
pub(crate) fn refuse_stale(term: &Term, floor: Option<i64>) -> Result<()> {
    match floor {
        Some(floor) if floor > i64::from(term.token()) => {
            let newer = u64::try_from(floor).ok().and_then(|floor| FencingToken::new(floor).ok());
            Err(Error::Stale(Stale::new(term.name(), term.token(), newer)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_core::LockName;

    use super::*;

    fn term(token: u64, floor: u64) -> Term {
        let [token, floor] = [token, floor].map(|number| FencingToken::new(number).unwrap());
        Term::new(&LockName::new("a").unwrap(), token).with_floor(floor).unwrap()
    }

    #[test]
    fn only_a_term_that_raised_its_fence_last_may_write() {
        let alone = term(7, 7);
        assert!(may_write(&alone, Some(7), Some(7)).is_ok());
        assert!(may_write(&alone, None, Some(7)).is_ok(), "SQLite has no intent");
        for (intent, raised) in [(Some(8), Some(7)), (Some(8), Some(8)), (None, Some(8))] {
            assert!(may_write(&alone, intent, raised).unwrap_err().is_stale());
        }
        for (intent, raised) in [(None, None), (Some(6), None), (Some(6), Some(6))] {
            let error = may_write(&alone, intent, raised).unwrap_err();
            assert!(matches!(error, Error::NotRaised(_)), "{error}");
        }
    }

    #[test]
    fn a_check_while_its_own_fence_is_raised_may_be_repeated() {
        for raised in [None, Some(6)] {
            let error = may_write(&term(7, 7), Some(7), raised).unwrap_err();
            assert!(matches!(error, Error::Conflict(_)) && error.is_transient(), "{error}");
            assert!(error.to_string().contains("is being raised"), "{error}");
        }
    }

    #[test]
    fn a_holder_of_several_may_write_from_its_floor_on() {
        let one_of_several = term(7, 3);
        for raised in 3..=7 {
            assert!(may_write(&one_of_several, Some(raised), Some(raised)).is_ok(), "{raised}");
        }
        assert!(may_write(&one_of_several, Some(8), Some(8)).unwrap_err().is_stale());
        // It waits while another holder raises a floor that does not exclude it.
        let error = may_write(&one_of_several, Some(5), Some(4)).unwrap_err();
        assert!(matches!(error, Error::Conflict(_)), "{error}");
    }
}
