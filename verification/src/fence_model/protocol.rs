//! This module defines the model as a whole: its terms, the isolation of their transactions, and the
//! rule that is removed.

use super::mutation::Mutation;

/// This is what a transaction sees of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Each statement sees what is committed. MySQL's REPEATABLE READ also belongs here: a locking
    /// read sees the newest row, and the snapshot is taken by the first read after it.
    ReadCommitted,
    /// The first statement takes the snapshot, as in PostgreSQL's REPEATABLE READ and SERIALIZABLE.
    /// Locking a row that has changed since is an error.
    Snapshot,
}

/// This model has a few terms, each with a few transactions.
#[derive(Clone, Debug)]
pub struct FenceModel {
    pub(super) terms: usize,
    pub(super) transactions: usize,
    pub(super) isolation: Isolation,
    /// At most this many processes crash.
    pub(super) crashes: usize,
    pub(super) mutation: Option<Mutation>,
}

impl FenceModel {
    /// Creates the model of the fence with that many terms, and transactions in each of them. Every
    /// process may crash.
    #[must_use]
    pub fn new(terms: usize, transactions: usize, isolation: Isolation) -> Self {
        Self { terms, transactions, isolation, crashes: terms, mutation: None }
    }

    /// Returns the same model in which at most that many processes crash.
    #[must_use]
    pub fn crashes(self, crashes: usize) -> Self {
        Self { crashes, ..self }
    }

    /// Returns the same model without one of its rules.
    #[must_use]
    pub fn without(self, mutation: Mutation) -> Self {
        Self { mutation: Some(mutation), ..self }
    }
}
