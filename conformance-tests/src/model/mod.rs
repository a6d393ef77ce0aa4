//! This is a model of a store: the contract of [`LockStore`](leasehold_core::LockStore) as a
//! program.
//!
//! The model gets each call, the time around it and the answer, and decides whether the answer is
//! possible. It does not know the exact time of the store's decision, nor whether a request whose
//! answer was lost arrived. So it keeps every state that a name may be in, and removes those that
//! contradict an answer. An answer that leaves no state is wrong.

mod attempt;
mod entries;
mod queue;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod window;

use std::fmt;
use std::time::Duration;

use leasehold_core::{
    DisableOptions, DisableOutcome, EnableOutcome, EnterOptions, LeaseId, LockRecord,
    ReleaseOutcome, RenewOutcome,
};

use attempt::Reply;
pub(crate) use attempt::{Answer, Attempt};
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

/// This is one renewal of a batch, with its answer unless it was lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewed<'a> {
    pub(crate) id: LeaseId,
    pub(crate) ttl: Duration,
    pub(crate) of_entry: bool,
    pub(crate) reply: Option<&'a RenewOutcome>,
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
        reply: Reply<'_, Answer>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(reply.is_none(), at, |state| state.acquire(by, ttl, reply, at))
    }

    pub(crate) fn enter(
        &mut self,
        by: &Attempt,
        options: &EnterOptions,
        reply: Reply<'_, Answer>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(reply.is_none(), at, |state| state.enter(by, options, reply, at))
    }

    /// Takes the renewals of one batch that concern this name into account. A store may decide them
    /// in any order, also the entries of one queue.
    pub(crate) fn renew(&mut self, batch: &[Renewed<'_>], at: Window) -> Result<(), Wrong> {
        // If the answers were lost, the order makes no difference.
        let lost = batch.iter().all(|renewal| renewal.reply.is_none());
        let most = if lost { 1 } else { usize::MAX };
        let mut possible = Vec::new();
        let mut wrong = None;
        for order in orders(batch.len()).iter().take(most) {
            let mut model = self.clone();
            let agreed = order.iter().try_for_each(|number| model.renew_one(batch[*number], at));
            match agreed {
                Ok(()) => possible.append(&mut model.possible),
                Err(contradiction) => {
                    wrong.get_or_insert(contradiction);
                }
            }
        }
        match wrong {
            Some(wrong) if possible.is_empty() => Err(wrong),
            _ => {
                self.possible = distinct(possible);
                Ok(())
            }
        }
    }

    fn renew_one(&mut self, renewal: Renewed<'_>, at: Window) -> Result<(), Wrong> {
        let Renewed { id, ttl, of_entry, reply } = renewal;
        self.follow(reply.is_none(), at, |state| {
            if of_entry {
                state.renew_entry(id, ttl, reply, at)
            } else {
                state.renew(id, ttl, reply, at)
            }
        })
    }

    pub(crate) fn release(
        &mut self,
        id: LeaseId,
        reply: Reply<'_, ReleaseOutcome>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(reply.is_none(), at, |state| state.release(id, reply))
    }

    pub(crate) fn leave(
        &mut self,
        id: LeaseId,
        reply: Reply<'_, ReleaseOutcome>,
        at: Window,
    ) -> Result<(), Wrong> {
        self.follow(reply.is_none(), at, |state| state.leave(id, reply))
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
        let after: Vec<State> = before
            .filter_map(|mut state| agrees(&mut state).then_some(state))
            // A lost request changed nothing.
            .chain(self.possible.iter().filter(|_| lost).cloned())
            .collect();
        if after.is_empty() {
            let possible: Vec<String> =
                self.possible.iter().map(|state| state.in_words(at)).collect();
            return Err(Wrong { possible: possible.join("; or ") });
        }
        self.possible = distinct(after);
        Ok(())
    }
}

/// Removes duplicates.
fn distinct(states: Vec<State>) -> Vec<State> {
    let mut distinct = Vec::new();
    for state in states {
        if !distinct.contains(&state) {
            distinct.push(state);
        }
    }
    distinct
}

/// Returns the orders in which that many renewals may be decided. The first is that of the batch.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut orders: Vec<Vec<usize>> = vec![Vec::new()];
    for next in 0..count {
        let longer = orders.iter().flat_map(|order| {
            (0..=order.len()).rev().map(move |at| {
                let mut longer = order.clone();
                longer.insert(at, next);
                longer
            })
        });
        orders = longer.collect();
    }
    orders
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.possible)
    }
}
