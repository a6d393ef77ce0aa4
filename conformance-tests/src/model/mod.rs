//! What a store's answers must be: the contract of [`LockStore`](leasehold_core::LockStore) as a
//! program.
//!
//! It is told of each call with the time around it and what was answered, and says whether that can
//! be. It does not know when exactly a store decided, nor whether a request whose answer was lost
//! arrived. So it keeps every state that a name may be in, and drops those that an answer rules
//! out. An answer that leaves none is wrong.

mod attempt;
mod state;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::time::Duration;

use leasehold_core::{
    AcquireOutcome, DisableOptions, DisableOutcome, EnableOutcome, LeaseId, LockRecord,
    ReleaseOutcome, RenewOutcome,
};

pub(crate) use attempt::Attempt;
use attempt::Heard;
use state::State;
pub(crate) use window::{Precision, Window};

/// One lock name, as far as the answers so far tell.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    possible: Vec<State>,
}

/// An answer that cannot be.
#[derive(Clone, Debug)]
pub(crate) struct Wrong {
    /// What the name may have been in before, in words.
    pub(crate) possible: String,
}

impl Model {
    /// A name that was never used.
    pub(crate) fn unused() -> Self {
        Self { possible: vec![State::unused()] }
    }

    pub(crate) fn acquire(
        &mut self,
        by: &Attempt,
        ttl: Duration,
        heard: Heard<'_, AcquireOutcome>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(heard.is_none(), at, |state| state.acquire(by, ttl, heard, at))
    }

    pub(crate) fn renew(
        &mut self,
        id: LeaseId,
        ttl: Duration,
        heard: Heard<'_, RenewOutcome>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(heard.is_none(), at, |state| state.renew(id, ttl, heard, at))
    }

    pub(crate) fn release(
        &mut self,
        id: LeaseId,
        heard: Heard<'_, ReleaseOutcome>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(heard.is_none(), at, |state| state.release(id, heard))
    }

    pub(crate) fn disable(
        &mut self,
        options: &DisableOptions,
        heard: Heard<'_, DisableOutcome>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(heard.is_none(), at, |state| state.disable(options, heard))
    }

    pub(crate) fn enable(
        &mut self,
        heard: Heard<'_, EnableOutcome>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(heard.is_none(), at, |state| state.enable(heard))
    }

    /// What `get` or `list` tells of the name.
    pub(crate) fn see(&mut self, record: Option<&LockRecord>, at: Window) -> Result<(), Wrong> {
        self.follow(false, at, |state| state.see(record, at))
    }

    /// Takes one call into account: `agrees` makes of a state what the call makes of it, and says
    /// whether the answer is the one of that state.
    fn follow(
        &mut self,
        lost: bool,
        at: Window,
        agrees: impl Fn(&mut State) -> bool,
    ) -> Result<(), Wrong> {
        let before = self.possible.iter().flat_map(|state| state.as_time_passes(at));
        let mut after: Vec<State> = before
            .filter_map(|mut state| agrees(&mut state).then_some(state))
            // A request that was lost changed nothing.
            .chain(self.possible.iter().filter(|_| lost).cloned())
            .collect();
        if after.is_empty() {
            let possible: Vec<String> =
                self.possible.iter().map(|state| state.in_words(at)).collect();
            return Err(Wrong { possible: possible.join("; or ") });
        }
        let mut distinct = Vec::new();
        for state in after.drain(..) {
            if !distinct.contains(&state) {
                distinct.push(state);
            }
        }
        self.possible = distinct;
        Ok(())
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.possible)
    }
}
