//! The kind of a lock says how many leases of a name may be in force, and in which order.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::{Error, ErrorKind, LockName, Result};

/// The kind of a lock says how many may hold it at a time, and in which order.
///
/// An exclusive lock has one lease, which the store gives to the first that asks while the name is
/// free. The other kinds have a queue of entries, in order of arrival, of which the first ones hold
/// the lock: as many as the [capacity](Self::capacity) allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// One lease at a time is in force, in no order: this is a [`Lock`](crate::Lock) or an
    /// [`Election`](crate::Election).
    Exclusive,
    /// One entry at a time holds the lock, in order of arrival.
    Fair,
    /// Entries hold this many permits at most, in order of arrival.
    Semaphore(NonZeroU32),
    /// Many readers or one writer hold the lock, in order of arrival.
    ReaderWriter,
    /// This many leaders of an election hold the lock at most, in order of arrival.
    Leaders(NonZeroU32),
}

impl LockKind {
    /// A writer has this weight, which is the capacity of a reader/writer lock. A reader has the
    /// weight 1.
    pub const WRITER_WEIGHT: u32 = Self::MAX_CAPACITY;

    /// No kind has a larger capacity.
    pub const MAX_CAPACITY: u32 = 1 << 30;

    /// Returns the kind of a semaphore with that many permits.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`] if there are no permits, or more than
    /// [`MAX_CAPACITY`](Self::MAX_CAPACITY).
    pub fn semaphore(permits: u32) -> Result<Self> {
        checked(permits, "permits").map(Self::Semaphore)
    }

    /// Returns the kind of an election of that many leaders.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`] if there are no leaders, or more than
    /// [`MAX_CAPACITY`](Self::MAX_CAPACITY).
    pub fn leaders(count: u32) -> Result<Self> {
        checked(count, "leaders").map(Self::Leaders)
    }

    /// Returns the largest sum of the weights of the entries that hold the lock at the same time.
    #[must_use]
    pub const fn capacity(self) -> u32 {
        match self {
            Self::Exclusive | Self::Fair => 1,
            Self::Semaphore(count) | Self::Leaders(count) => count.get(),
            Self::ReaderWriter => Self::MAX_CAPACITY,
        }
    }

    /// Returns whether the lock has a queue in the store.
    #[must_use]
    pub const fn has_queue(self) -> bool {
        !matches!(self, Self::Exclusive)
    }

    /// Returns the error for an attempt under a name that is in use as another kind. Nothing was
    /// written.
    #[must_use]
    pub fn conflict(self, found: Self, name: &LockName) -> Error {
        let message = format!("the name is in use as {found}, so it cannot be used as {self}");
        Error::new(ErrorKind::Conflict, message)
            .for_lock(name)
            .with_fix("use another name, or wait until nobody holds it")
    }
}

fn checked(count: u32, what: &str) -> Result<NonZeroU32> {
    let most = LockKind::MAX_CAPACITY;
    NonZeroU32::new(count).filter(|count| count.get() <= most).ok_or_else(|| {
        Error::invalid(format!("{count} is not a valid number of {what}"))
            .with_fix(format!("it must be between 1 and {most}"))
    })
}

impl fmt::Display for LockKind {
    /// Writes the kind for people, such as `a semaphore of 3 permits`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exclusive => f.write_str("an exclusive lock"),
            Self::Fair => f.write_str("a fair lock"),
            Self::Semaphore(permits) if permits.get() == 1 => {
                f.write_str("a semaphore of 1 permit")
            }
            Self::Semaphore(permits) => write!(f, "a semaphore of {permits} permits"),
            Self::ReaderWriter => f.write_str("a reader/writer lock"),
            Self::Leaders(count) if count.get() == 1 => f.write_str("an election of 1 leader"),
            Self::Leaders(count) => write!(f, "an election of {count} leaders"),
        }
    }
}

impl LockKind {
    /// Returns the kind in one word without its number, such as `semaphore`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Fair => "fair",
            Self::Semaphore(_) => "semaphore",
            Self::ReaderWriter => "reader-writer",
            Self::Leaders(_) => "leaders",
        }
    }

    /// Returns the form in which stores keep the kind, such as `semaphore:3`. [`FromStr`] reads it.
    #[must_use]
    pub fn code(self) -> String {
        let word = self.word();
        match self {
            Self::Exclusive | Self::Fair | Self::ReaderWriter => word.to_owned(),
            Self::Semaphore(count) | Self::Leaders(count) => format!("{word}:{count}"),
        }
    }
}

impl FromStr for LockKind {
    type Err = Error;

    fn from_str(code: &str) -> Result<Self> {
        let (word, count) = match code.split_once(':') {
            Some((word, count)) => (word, Some(count)),
            None => (code, None),
        };
        // A number has one form only, so that equal kinds have equal codes.
        let count = count.map(|text| text.parse().ok().filter(|n: &u32| n.to_string() == text));
        let kind = match (word, count) {
            ("exclusive", None) => Ok(Self::Exclusive),
            ("fair", None) => Ok(Self::Fair),
            ("reader-writer", None) => Ok(Self::ReaderWriter),
            ("semaphore", Some(Some(permits))) => Self::semaphore(permits),
            ("leaders", Some(Some(count))) => Self::leaders(count),
            _ => Err(Error::invalid("")),
        };
        kind.map_err(|_| {
            Error::new(ErrorKind::Corrupt, format!("{code:?} is not a valid kind of lock"))
        })
    }
}

impl Serialize for LockKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_the_kind_that_it_was_made_of() {
        let kinds = [
            LockKind::Exclusive,
            LockKind::Fair,
            LockKind::semaphore(3).unwrap(),
            LockKind::semaphore(LockKind::MAX_CAPACITY).unwrap(),
            LockKind::ReaderWriter,
            LockKind::leaders(2).unwrap(),
        ];
        for kind in kinds {
            assert_eq!(kind.code().parse::<LockKind>().unwrap(), kind);
        }
    }

    #[test]
    fn another_text_is_not_a_kind() {
        for code in ["", "semaphore", "semaphore:", "semaphore:0", "semaphore:03", "fair:1", "x"] {
            let error = code.parse::<LockKind>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{code}");
        }
        assert!(LockKind::semaphore(0).unwrap_err().is_invalid());
        assert!(LockKind::leaders(LockKind::MAX_CAPACITY + 1).unwrap_err().is_invalid());
    }

    #[test]
    fn a_conflict_names_both_kinds() {
        let name = LockName::new("report").unwrap();
        let error = LockKind::Fair.conflict(LockKind::semaphore(3).unwrap(), &name);
        assert_eq!(
            error.to_string(),
            "lock \"report\": the name is in use as a semaphore of 3 permits, so it cannot be used \
             as a fair lock; use another name, or wait until nobody holds it"
        );
    }
}
