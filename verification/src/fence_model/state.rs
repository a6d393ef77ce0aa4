//! This module defines a state of the model: the two rows at the server, and the terms with their
//! transactions.

/// This is a state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FenceState {
    /// This is the committed token of the intent's row; 0 stands for a missing row.
    pub intent: u8,
    /// This is the committed token of the fence's row; 0 stands for a missing row.
    pub row: u8,
    /// These are the terms. The token of each is its position, counted from 1.
    pub terms: Vec<Term>,
    /// This is the largest token of a term of which a transaction has committed.
    pub newest_commit: u8,
    /// The last step has broken this rule.
    pub broken: Option<FenceRule>,
}

/// The violation of such a rule shows in a step, not in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FenceRule {
    /// A transaction committed although the raise of a newer term had returned.
    Drained,
    /// A transaction committed after one of a newer term.
    CommitOrder,
    /// A check passed that began after a newer term had set its intent.
    IntentRefuses,
    /// A transaction committed what it decided without the writes of an older term.
    ReadsAreNew,
    /// A check of the newest term was refused after its raise had returned.
    NewestPasses,
}

/// This is a term: the process that leads, and its transactions at the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// This is the progress of its raise.
    pub raise: Raise,
    /// Its process has crashed. What it had sent to the server may still take effect.
    pub crashed: bool,
    /// These are its transactions, in a fixed order.
    pub transactions: Vec<Transaction>,
}

/// This is the progress of a term's raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Raise {
    /// The raise has not begun.
    NotBegun,
    /// The transaction of the intent is over.
    IntentSet,
    /// The row has the term's token, and the reply is on its way.
    RowSet,
    /// The raise has returned.
    Returned,
    /// The limit was over, or a reply was lost. The raise may be repeated.
    TimedOut,
    /// The raise found the row of a newer term.
    Stale,
}

/// This is one of the application's transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transaction {
    /// This is the progress of the transaction.
    pub stage: Stage,
    /// A newer term had set its intent when the check began.
    pub checked_late: bool,
    /// The transaction has read the application's data.
    pub has_read: bool,
    /// A transaction of an older term has committed since then.
    pub missed_commit: bool,
}

/// This is the progress of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The transaction has done nothing.
    #[default]
    NotBegun,
    /// The transaction has read the application's data, and the check is not sent yet.
    Open,
    /// The check waits for its lock on the row.
    Checking,
    /// The check waits for an exclusive lock, and holds a shared one.
    Upgrading,
    /// The check has passed.
    Passed,
    /// The transaction was committed, refused or rolled back.
    Ended,
}

impl FenceState {
    /// Returns whether a term that is newer than that one has set its intent.
    pub(super) fn newer_intent(&self, term: usize) -> bool {
        self.terms[term + 1..].iter().any(|newer| newer.raise != Raise::NotBegun)
    }

    /// Returns every transaction with the position of its term.
    pub(super) fn transactions(&self) -> impl Iterator<Item = (usize, &Transaction)> {
        let terms = self.terms.iter().enumerate();
        terms.flat_map(|(at, term)| term.transactions.iter().map(move |it| (at, it)))
    }

    /// Sorts the transactions of each term, which differ in nothing but their progress.
    pub(super) fn canonicalize(&mut self) {
        for term in &mut self.terms {
            term.transactions.sort_unstable();
        }
    }
}
