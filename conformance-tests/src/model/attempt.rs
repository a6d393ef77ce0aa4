//! Who makes a call, and what is known of its answer.

use leasehold_core::{Holder, LeaseId};

/// A candidate for a name; the number tells candidates apart in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) number: usize,
    pub(crate) id: LeaseId,
    pub(crate) holder: Holder,
}

/// The answer of a call; `None` if it was lost.
pub(super) type Heard<'a, T> = Option<&'a T>;
