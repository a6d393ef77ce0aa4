//! A fencing token is the number of a grant; it lets a resource refuse earlier holders.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// A fencing token is the number of a grant: every later grant of the same name has a larger one.
///
/// Pass it to the resource that the lock protects, and refuse there any token smaller than one seen
/// before. Only this keeps a holder that was paused, and woke too late, from doing damage.
/// (Kleppmann, *How to do distributed locking*, 2016.)
///
/// Tokens stay below 2⁵³, so that Lua, JavaScript and JSON carry them exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct FencingToken(u64);

impl FencingToken {
    /// Every token is below this number.
    pub const LIMIT: u64 = 1 << 53;

    /// Creates a token from a stored number.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Corrupt`] if the number is 0 or not below
    /// [`LIMIT`](Self::LIMIT).
    pub fn new(number: u64) -> Result<Self> {
        if (1..Self::LIMIT).contains(&number) {
            Ok(Self(number))
        } else {
            Err(Error::new(ErrorKind::Corrupt, format!("{number} is not a valid fencing token"))
                .with_fix("tokens are at least 1 and below 2^53"))
        }
    }

    /// Returns the number, to pass to the resource that the lock protects.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for FencingToken {
    type Error = Error;

    fn try_from(number: u64) -> Result<Self> {
        Self::new(number)
    }
}

impl From<FencingToken> for u64 {
    fn from(token: FencingToken) -> Self {
        token.0
    }
}

impl From<FencingToken> for i64 {
    /// Converts for databases whose integers are signed; exact, because tokens are below 2⁵³.
    fn from(token: FencingToken) -> Self {
        token.0.cast_signed()
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A token floor is the smallest token of a name whose holder may still use the lock, as far as is
/// known. It only rises.
#[derive(Debug)]
pub(crate) struct TokenFloor(AtomicU64);

impl TokenFloor {
    pub(crate) fn new(floor: FencingToken) -> Self {
        Self(AtomicU64::new(floor.0))
    }

    /// Notes that no smaller token is in use any longer. Replies may come in any order.
    pub(crate) fn raise(&self, floor: FencingToken) {
        self.0.fetch_max(floor.0, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> FencingToken {
        FencingToken(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_exact_in_a_double() {
        assert!(FencingToken::new(0).is_err());
        assert!(FencingToken::new(FencingToken::LIMIT).is_err());
        let last = FencingToken::new(FencingToken::LIMIT - 1).unwrap().get();
        assert_eq!(last as f64 as u64, last);
    }

    #[test]
    fn tokens_from_json_are_validated() {
        for (json, is_token) in [("7", true), ("0", false), ("9007199254740992", false)] {
            assert_eq!(serde_json::from_str::<FencingToken>(json).is_ok(), is_token, "{json}");
        }
        assert_eq!(serde_json::to_string(&FencingToken::new(7).unwrap()).unwrap(), "7");
    }

    #[test]
    fn a_floor_never_falls() {
        let token = |number| FencingToken::new(number).unwrap();
        let floor = TokenFloor::new(token(3));
        for (reported, known) in [(5, 5), (4, 5), (9, 9)] {
            floor.raise(token(reported));
            assert_eq!(floor.get(), token(known));
        }
    }
}
