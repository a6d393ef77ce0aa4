//! This module defines what is known of a fencing token.

use leasehold_core::FencingToken;

/// This is what is known of a fencing token. There is no token before the first grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Is(Option<FencingToken>),
    /// The answer to a grant was lost, so the token is larger than this one.
    IsAbove(Option<FencingToken>),
}

impl Token {
    /// Returns whether the token may be the one that the store reported. If so, it is known from
    /// now on.
    pub(super) fn is(&mut self, told: Option<FencingToken>) -> bool {
        let agrees = match *self {
            Self::Is(token) => told == token,
            // `None` is less than every token.
            Self::IsAbove(token) => told > token,
        };
        if agrees {
            *self = Self::Is(told);
        }
        agrees
    }

    /// Returns the token of the next grant.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Is(token) | Self::IsAbove(token) => Self::IsAbove(token),
        }
    }
}
