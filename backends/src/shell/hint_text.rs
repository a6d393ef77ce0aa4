//! This module has the text of a hint, for stores that send hints as messages.
//!
//! A hint about a name is the name, as in earlier versions. A hint about entries is longer than any
//! name, so that it cannot be mistaken for one; an earlier version treats such a text as
//! [`Hint::Anything`].
#![allow(dead_code, reason = "which parts are used depends on the features")]

use crate::{Hint, LeaseId, LockName, Result};

/// A hint about more entries than this is sent as one about the name. The longest text is then below
/// 8,000 bytes, which a notification of PostgreSQL may have at most.
pub(crate) const MAX_LEASES: usize = 200;

/// Returns the text of a hint about a name or its entries; `None` for any other one.
pub(crate) fn write(hint: &Hint) -> Option<String> {
    match hint {
        Hint::Name(name) => Some(name.to_string()),
        Hint::Entries(name, leases) if leases.len() > MAX_LEASES => Some(name.to_string()),
        Hint::Entries(name, leases) => {
            let leases: Vec<_> = leases.iter().map(LeaseId::to_string).collect();
            let text = format!("{}\n{name}", leases.join(","));
            Some(format!("{text:>0$}", LockName::MAX_BYTES + 1))
        }
        _ => None,
    }
}

/// Reads the text of a hint. Any other text is [`Hint::Anything`].
pub(crate) fn read(text: &str) -> Hint {
    if text.len() <= LockName::MAX_BYTES {
        return LockName::new(text).map_or(Hint::Anything, Hint::Name);
    }
    entries(text).unwrap_or(Hint::Anything)
}

fn entries(text: &str) -> Option<Hint> {
    let (leases, name) = text.split_once('\n')?;
    let leases = leases.trim_start_matches(' ').split(',').map(str::parse::<LeaseId>);
    Some(Hint::Entries(LockName::new(name).ok()?, leases.collect::<Result<Vec<_>>>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> LockName {
        LockName::new(name).unwrap()
    }

    fn leases(count: usize) -> Vec<LeaseId> {
        (0..count).map(|_| LeaseId::new()).collect()
    }

    #[test]
    fn a_text_is_read_as_the_hint_that_it_was_made_of() {
        let (longest, wide) = ("x".repeat(255), "á".repeat(127));
        for at in ["a", " ", "a\nb", "a,b", "\n", longest.as_str(), wide.as_str()] {
            let by_name = Hint::Name(name(at));
            assert_eq!(read(&write(&by_name).unwrap()), by_name);
            for count in [1, 2, 7, MAX_LEASES] {
                let hint = Hint::Entries(name(at), leases(count));
                let text = write(&hint).unwrap();
                assert_eq!(read(&text), hint);
                assert!((256..8_000).contains(&text.len()), "{} bytes", text.len());
                // An earlier version does not read it as a name.
                assert!(LockName::new(&text).is_err());
            }
            let hint = Hint::Entries(name(at), leases(MAX_LEASES + 1));
            assert_eq!(read(&write(&hint).unwrap()), by_name);
        }
        assert_eq!(write(&Hint::Anything), None);
    }

    #[test]
    fn another_text_is_a_hint_that_anything_may_have_changed() {
        let long = "x".repeat(256);
        let others = [String::new(), "a\0b".to_owned(), format!("{long}\na"), format!("{long}\n")];
        for text in others.into_iter().chain([long]) {
            assert_eq!(read(&text), Hint::Anything, "{text}");
        }
    }
}
