//! This model checks the state machines of locks and elections in every order of events, up to
//! a number of faults and commands.
//!
//! The code that ships is checked: the [machine of an
//! election](leasehold_core::election::machine::Machine) and the [machine of a
//! lease](leasehold_core::lease::Machine), as a lock drives it. The drivers, which keep lease ids
//! and send requests, are modelled. So are the store as the contract describes it, a network that
//! loses and delays messages, and the clocks. Time passes in whole units, and a state has times
//! only relative to the present, so that states recur and a search ends.
//!
//! Without a fault nothing is late: a message arrives, a timer fires and a job ends within the unit
//! of time in which it is possible, in any order.

mod apply;
mod budget;
mod driver;
mod explore;
mod lease_model;
mod mutation;
mod network;
mod participant;
mod state;
mod step;
mod store;
mod units;

use stateright::{Model, Property};

pub use budget::Budget;
pub use lease_model::LeaseModel;
pub use mutation::Mutation;
pub use participant::{JobState, Machine, Participant};
pub use state::{Message, MessageStage, ModelState, Rule};
pub use step::ModelStep;
pub use store::{LeaseId, ModelCall, ModelLease, ModelStore, Reply};

impl Model for LeaseModel {
    type State = ModelState;
    type Action = ModelStep;

    fn init_states(&self) -> Vec<ModelState> {
        vec![ModelState {
            store: ModelStore::default(),
            instances: (0..self.participants()).map(|at| Some(self.participant(at))).collect(),
            network: Vec::new(),
            left: self.budget(),
            started: 0,
            leaderless: 0,
            had_faults: false,
            broken: None,
        }]
    }

    fn actions(&self, state: &ModelState, steps: &mut Vec<ModelStep>) {
        steps.extend(self.possible(state));
    }

    fn next_state(&self, state: &ModelState, step: ModelStep) -> Option<ModelState> {
        Some(self.apply(state.clone(), step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one instance trusts its lease", |_, state: &ModelState| {
                state.running().filter(|(_, instance)| instance.trusts()).count() <= 1
            }),
            Property::always(
                "an instance that trusts its lease holds it",
                |_, state: &ModelState| {
                    let live = state.store.live().map(|lease| lease.id);
                    state.running().all(|(_, it)| !it.trusts() || live == it.lease)
                },
            ),
            // A clock may slip by all of the margin. Then an abort and another participant's start
            // fall into the same unit of time, in either order, so this is checked when time
            // passes.
            Property::always(
                "jobs never overlap, but for one that was paused",
                |_, state: &ModelState| {
                    let at_work = |(_, it): &(usize, &Participant)| {
                        it.machine.has_job() && it.job != JobState::None
                    };
                    let jobs = state.running().filter(at_work);
                    state.is_busy() || jobs.filter(|(_, it)| !it.paused_in_term).count() <= 1
                },
            ),
            Property::always(
                "nobody leads a disabled name past its lease",
                |_, state: &ModelState| {
                    let over = state.store.disabled && state.store.ending_deadline == 0;
                    !over || state.running().all(|(_, instance)| !instance.trusts())
                },
            ),
            Property::always("an expired lease is never revived", |_, state: &ModelState| {
                !state.store.revived
            }),
            Property::always("tokens grow", |_, state: &ModelState| {
                state.broken != Some(Rule::TokensGrow)
            }),
            Property::always("start, then stop, then the end", |_, state: &ModelState| {
                state.broken != Some(Rule::StartStop)
            }),
            Property::always(
                "no instance is refused because of its own attempt",
                |_, state: &ModelState| state.broken != Some(Rule::NoSelfBlocking),
            ),
            Property::always("no lease of an aborted job is released", |_, state: &ModelState| {
                state.broken != Some(Rule::ReleasedAfterAbort)
            }),
            Property::always("trust that has ended does not return", |_, state: &ModelState| {
                state.broken != Some(Rule::TrustReturns)
            }),
            Property::always(
                "once faults have ended, an instance leads",
                |model: &Self, state: &ModelState| state.leaderless <= model.takeover_limit(state),
            ),
        ]
    }
}
