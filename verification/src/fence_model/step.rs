//! This module defines the steps that are possible in a state, and their effects.

use super::mutation::Mutation;
use super::protocol::{FenceModel, Isolation};
use super::state::{FenceRule, FenceState, Raise, Stage, Term, Transaction};

/// This is a step. Terms and transactions are named by their position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FenceStep {
    /// A raise sets its intent, and commits.
    SetIntent(usize),
    /// A raise sets the row, and commits; or it finds that a newer term has raised.
    SetRow(usize),
    /// A raise returns.
    Return(usize),
    /// The limit of a raise is over, or a reply to it is lost.
    TimeOut(usize),
    /// A process crashes.
    Crash(usize),
    /// A transaction begins with a read.
    Begin(usize, usize),
    /// The server begins the statement of a check, and reads the intent.
    Check(usize, usize),
    /// A check gets its lock, and decides.
    Lock(usize, usize),
    /// A check gets its exclusive lock, where it had a shared one.
    Upgrade(usize, usize),
    /// A transaction commits.
    Commit(usize, usize),
    /// A transaction is rolled back.
    RollBack(usize, usize),
}

/// Returns the token of the term at that position.
fn token(term: usize) -> u8 {
    u8::try_from(term + 1).unwrap_or(u8::MAX)
}

impl FenceModel {
    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Returns whether a transaction has a lock on the fence's row.
    fn locks_row(&self, transaction: &Transaction) -> bool {
        matches!(transaction.stage, Stage::Upgrading | Stage::Passed) && !self.has(Mutation::NoLock)
    }

    /// Returns whether a check must wait for a transaction that has a lock. A raise sets the row
    /// and commits in one step, so no check waits for it.
    fn excludes_checks(&self, transaction: &Transaction) -> bool {
        self.locks_row(transaction)
            && (self.has(Mutation::ExclusiveLock)
                || self.has(Mutation::UpgradedLock) && transaction.stage == Stage::Passed)
    }

    /// Returns whether a transaction waits for another one of its own term.
    pub(super) fn waits_for_own_term(&self, term: &Term) -> bool {
        term.transactions.iter().any(|it| it.stage == Stage::Checking)
            && term.transactions.iter().any(|it| self.excludes_checks(it))
    }

    /// Returns whether a transaction has a lock on the row that heartbeats update.
    pub(super) fn locks_lock_row(&self, transaction: &Transaction) -> bool {
        self.has(Mutation::LocksLockRow) && self.locks_row(transaction)
    }

    /// Returns whether a raise has to wait before it sets the row. A newer row is not locked.
    fn raise_waits(&self, state: &FenceState, term: usize) -> bool {
        state.row < token(term) && state.transactions().any(|(_, it)| self.locks_row(it))
    }

    /// Returns every step that is possible. A process that is paused takes none of its own, so
    /// the search covers pauses of any length.
    pub(super) fn possible(&self, state: &FenceState) -> Vec<FenceStep> {
        let mut steps = Vec::new();
        let crashed = state.terms.iter().filter(|term| term.crashed).count();
        for (at, term) in state.terms.iter().enumerate() {
            self.raise_steps(state, at, &mut steps);
            for (which, transaction) in term.transactions.iter().enumerate() {
                self.transaction_steps(state, (at, which), transaction, &mut steps);
            }
            if !term.crashed && crashed < self.crashes {
                steps.push(FenceStep::Crash(at));
            }
        }
        steps
    }

    fn raise_steps(&self, state: &FenceState, at: usize, steps: &mut Vec<FenceStep>) {
        let Term { raise, crashed, .. } = state.terms[at];
        let waits = self.raise_waits(state, at);
        // A request may still be performed after a crash of its sender or after a timeout.
        if matches!(raise, Raise::IntentSet | Raise::TimedOut) && !waits {
            steps.push(FenceStep::SetRow(at));
        }
        if crashed {
            return;
        }
        match raise {
            Raise::NotBegun | Raise::TimedOut => steps.push(FenceStep::SetIntent(at)),
            Raise::IntentSet => {
                if waits {
                    steps.push(FenceStep::TimeOut(at));
                }
                if self.has(Mutation::ReturnsAfterIntent) {
                    steps.push(FenceStep::Return(at));
                }
            }
            Raise::RowSet => steps.extend([FenceStep::Return(at), FenceStep::TimeOut(at)]),
            Raise::Returned | Raise::Stale => {}
        }
    }

    fn transaction_steps(
        &self,
        state: &FenceState,
        (at, which): (usize, usize),
        transaction: &Transaction,
        steps: &mut Vec<FenceStep>,
    ) {
        let crashed = state.terms[at].crashed;
        match transaction.stage {
            Stage::Ended => return,
            Stage::NotBegun | Stage::Open if crashed => {}
            // A transaction that has done nothing yet is like one that has not begun.
            Stage::NotBegun if self.has(Mutation::ReadBeforeCheck) => {
                steps.push(FenceStep::Begin(at, which));
            }
            Stage::NotBegun | Stage::Open => steps.push(FenceStep::Check(at, which)),
            Stage::Checking => {
                if !state.transactions().any(|(_, it)| self.excludes_checks(it)) {
                    steps.push(FenceStep::Lock(at, which));
                }
            }
            Stage::Upgrading => {
                // It has one of the locks itself.
                if state.transactions().filter(|(_, it)| self.locks_row(it)).count() == 1 {
                    steps.push(FenceStep::Upgrade(at, which));
                }
            }
            // The server may receive the commit of a process that has crashed since.
            Stage::Passed => steps.push(FenceStep::Commit(at, which)),
        }
        if transaction.stage != Stage::NotBegun {
            steps.push(FenceStep::RollBack(at, which));
        }
    }

    /// Returns the state after a step.
    pub(super) fn apply(&self, mut state: FenceState, step: FenceStep) -> FenceState {
        match step {
            FenceStep::SetIntent(at) => {
                let sets = !self.has(Mutation::NoIntent) && !self.has(Mutation::IntentWithRow);
                if sets && (state.intent < token(at) || self.has(Mutation::LoweredIntent)) {
                    state.intent = token(at);
                }
                state.terms[at].raise = Raise::IntentSet;
            }
            FenceStep::SetRow(at) => self.set_row(&mut state, at),
            FenceStep::Return(at) => state.terms[at].raise = Raise::Returned,
            FenceStep::TimeOut(at) => {
                let returns = self.has(Mutation::ReturnsAtLimit);
                state.terms[at].raise = if returns { Raise::Returned } else { Raise::TimedOut };
            }
            FenceStep::Crash(at) => state.terms[at].crashed = true,
            FenceStep::Begin(at, which) => {
                let transaction = &mut state.terms[at].transactions[which];
                transaction.stage = Stage::Open;
                transaction.has_read = true;
            }
            FenceStep::Check(at, which) => self.check(&mut state, at, which),
            FenceStep::Lock(at, which) => self.lock(&mut state, at, which),
            FenceStep::Upgrade(at, which) => {
                state.terms[at].transactions[which].stage = Stage::Passed;
            }
            FenceStep::Commit(at, which) => commit(&mut state, at, which),
            FenceStep::RollBack(at, which) => end(&mut state, at, which),
        }
        state.canonicalize();
        state
    }

    fn set_row(&self, state: &mut FenceState, at: usize) {
        let mine = token(at);
        let is_stale = state.row > mine && !self.has(Mutation::LoweredRow);
        if !is_stale {
            state.row = mine;
            if self.has(Mutation::IntentWithRow) {
                state.intent = state.intent.max(mine);
            }
        }
        // After a timeout nobody waits for the reply.
        let raise = &mut state.terms[at].raise;
        if *raise == Raise::IntentSet {
            *raise = if is_stale { Raise::Stale } else { Raise::RowSet };
        }
    }

    /// Begins the statement of a check. The intent is read at its beginning. At READ COMMITTED the
    /// row is read again once it is locked; in a snapshot a row that has changed since is an error,
    /// so that only a row that is the term's own already can lead anywhere.
    fn check(&self, state: &mut FenceState, at: usize, which: usize) {
        let late = state.newer_intent(at);
        let reads_row_once = self.isolation == Isolation::Snapshot || self.has(Mutation::StaleRow);
        if state.intent > token(at) || reads_row_once && !self.accepts(state.row, at) {
            refuse(state, at, which);
            return;
        }
        let snapshot_first =
            self.isolation == Isolation::Snapshot || self.has(Mutation::SnapshotBeforeLock);
        let transaction = &mut state.terms[at].transactions[which];
        transaction.stage = Stage::Checking;
        transaction.checked_late = late;
        transaction.has_read |= snapshot_first;
    }

    fn accepts(&self, row: u8, term: usize) -> bool {
        row == token(term) || self.has(Mutation::OlderRowAccepted) && row < token(term)
    }

    fn lock(&self, state: &mut FenceState, at: usize, which: usize) {
        if !self.has(Mutation::StaleRow) && !self.accepts(state.row, at) {
            refuse(state, at, which);
            return;
        }
        let upgrades = self.has(Mutation::UpgradedLock);
        let transaction = &mut state.terms[at].transactions[which];
        transaction.stage = if upgrades { Stage::Upgrading } else { Stage::Passed };
        transaction.has_read = true;
        if transaction.checked_late {
            state.broken = Some(FenceRule::IntentRefuses);
        }
    }
}

fn commit(state: &mut FenceState, at: usize, which: usize) {
    let missed = state.terms[at].transactions[which].missed_commit;
    if state.terms[at + 1..].iter().any(|newer| newer.raise == Raise::Returned) {
        state.broken = Some(FenceRule::Drained);
    } else if state.newest_commit > token(at) {
        state.broken = Some(FenceRule::CommitOrder);
    } else if missed {
        state.broken = Some(FenceRule::ReadsAreNew);
    }
    state.newest_commit = state.newest_commit.max(token(at));
    for newer in &mut state.terms[at + 1..] {
        for transaction in &mut newer.transactions {
            transaction.missed_commit |= transaction.has_read;
        }
    }
    end(state, at, which);
}

fn refuse(state: &mut FenceState, at: usize, which: usize) {
    if state.terms[at].raise == Raise::Returned && !state.newer_intent(at) {
        state.broken = Some(FenceRule::NewestPasses);
    }
    end(state, at, which);
}

fn end(state: &mut FenceState, at: usize, which: usize) {
    // Nothing of a transaction that has ended matters any longer.
    state.terms[at].transactions[which] =
        Transaction { stage: Stage::Ended, ..Transaction::default() };
}
