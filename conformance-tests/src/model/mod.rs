//! This is a model of a store: the contract of [`LockStore`](leasehold_core::LockStore) as a
//! program.
//!
//! The model gets each call, the time around it and the answer, and decides whether the answer is
//! possible. It does not know the exact time of the store's decision, nor whether a request whose
//! answer was lost arrived. So it keeps every state that a name may be in, and removes those that
//! contradict an answer. An answer that leaves no state is wrong.

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
use attempt::Reply;
use state::State;
pub(crate) use window::{Precision, Window};

/// This models one lock name, as far as the previous answers describe it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    possible: Vec<State>,
}

/// This answer contradicts the contract.
#[derive(Clone, Debug)]
pub(crate) struct Wrong {
    /// This text describes the states in which the name may have been before.
    pub(crate) possible: String,
}

impl Model {
    /// Returns a name that was never used.
    pub(crate) fn unused() -> Self {
        Self { possible: vec![State::unused()] }
    }

    pub(crate) fn acquire(
        &mut self,
        by: &Attempt,
        ttl: Duration,
        reply: Reply<'_, AcquireOutcome>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(reply.is_none(), at, |state| state.acquire(by, ttl, reply, at))
    }

    pub(crate) fn renew(
        &mut self,
        id: LeaseId,
        ttl: Duration,
        reply: Reply<'_, RenewOutcome>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(reply.is_none(), at, |state| state.renew(id, ttl, reply, at))
    }

    pub(crate) fn release(
        &mut self,
        id: LeaseId,
        reply: Reply<'_, ReleaseOutcome>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(reply.is_none(), at, |state| state.release(id, reply))
    }

    pub(crate) fn disable(
        &mut self,
        options: &DisableOptions,
        reply: Reply<'_, DisableOutcome>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(reply.is_none(), at, |state| state.disable(options, reply))
    }

    pub(crate) fn enable(
        &mut self,
        reply: Reply<'_, EnableOutcome>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(reply.is_none(), at, |state| state.enable(reply))
    }

    /// Takes into account what `get` or `list` returned for the name.
    pub(crate) fn see(&mut self, record: Option<&LockRecord>, at: Window) -> Result<(), Wrong> {
        self.follow(false, at, |state| state.see(record, at))
    }

    /// Takes one call into account. `agrees` applies the call to a state and returns whether the
    /// answer fits that state.
    fn follow(
        &mut self,
        lost: bool,
        at: Window,
        agrees: impl Fn(&mut State) -> bool,
    ) -> Result<(), Wrong> {
        let before = self.possible.iter().flat_map(|state| state.as_time_passes(at));
        let mut after: Vec<State> = before
            .filter_map(|mut state| agrees(&mut state).then_some(state))
            // A lost request changed nothing.
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
