//! This model checks the protocol of the fence in every order of its statements.
//!
//! A table beside the application's data has a row with the token of the term that may write. A new
//! term *raises* it: it sets an intent and commits, and then sets the row. Each transaction of a term
//! first *checks*: one statement refuses it if the intent is newer, takes a shared lock on the row,
//! and refuses it unless the row has the term's token.
//!
//! Terms begin, pause and crash in any order, and their requests arrive at any time later: there is
//! no clock, and a process that is paused takes no step. Where a server leaves a choice the model
//! has the weaker form: a shared lock is granted even while a raise waits for its exclusive one.

mod explore;
mod mutation;
mod protocol;
mod state;
mod step;

use stateright::{Model, Property};

pub use mutation::Mutation;
pub use protocol::{FenceModel, Isolation};
pub use state::{FenceRule, FenceState, Raise, Stage, Term, Transaction};
pub use step::FenceStep;

impl Model for FenceModel {
    type State = FenceState;
    type Action = FenceStep;

    fn init_states(&self) -> Vec<FenceState> {
        let term = Term {
            raise: Raise::NotBegun,
            crashed: false,
            transactions: vec![Transaction::default(); self.transactions],
        };
        let terms = vec![term; self.terms];
        vec![FenceState { intent: 0, row: 0, terms, newest_commit: 0, broken: None }]
    }

    fn actions(&self, state: &FenceState, steps: &mut Vec<FenceStep>) {
        steps.extend(self.possible(state));
    }

    fn next_state(&self, state: &FenceState, step: FenceStep) -> Option<FenceState> {
        Some(self.apply(state.clone(), step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "once a raise has returned, no older transaction commits",
                |_, state: &FenceState| state.broken != Some(FenceRule::Drained),
            ),
            Property::always(
                "no transaction commits after one of a newer term",
                |_, state: &FenceState| state.broken != Some(FenceRule::CommitOrder),
            ),
            Property::always(
                "a check that begins after a newer intent is refused",
                |_, state: &FenceState| state.broken != Some(FenceRule::IntentRefuses),
            ),
            Property::always(
                "a transaction sees what older terms have committed",
                |_, state: &FenceState| state.broken != Some(FenceRule::ReadsAreNew),
            ),
            Property::always(
                "the newest term is not refused once its raise has returned",
                |_, state: &FenceState| state.broken != Some(FenceRule::NewestPasses),
            ),
            Property::always(
                "transactions of one term do not wait for each other",
                |model: &Self, state: &FenceState| {
                    !state.terms.iter().any(|term| model.waits_for_own_term(term))
                },
            ),
            Property::always("checks do not deadlock", |_, state: &FenceState| {
                state.transactions().filter(|(_, it)| it.stage == Stage::Upgrading).count() <= 1
            }),
            Property::always(
                "a heartbeat does not wait for a transaction",
                |model: &Self, state: &FenceState| {
                    !state.transactions().any(|(_, it)| model.locks_lock_row(it))
                },
            ),
        ]
    }
}
