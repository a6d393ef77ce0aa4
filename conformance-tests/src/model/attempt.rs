//! This module defines the attempt that makes a call, and the reply to it.

use leasehold_core::{Holder, LeaseId};

/// An attempt is made by a candidate for a name. The number identifies the candidate in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) number: usize,
    pub(crate) id: LeaseId,
    pub(crate) holder: Holder,
}

/// This is the answer to a call, or `None` if it was lost.
pub(super) type Reply<'a, T> = Option<&'a T>;
