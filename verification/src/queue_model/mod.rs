//! This model checks queues, on which fair locks, semaphores, reader/writer locks and elections of
//! several leaders are built, in every order of events, up to a number of faults and commands.
//!
//! The code that ships is checked: the store decides by the
//! [rule of queues](leasehold_core::QueueRecord) and the outcomes that follow from it, and each
//! instance runs the [machine of a lease](leasehold_core::lease::Machine) as a lock with a queue
//! drives it. The drivers, which keep lease ids and send requests, are modelled. So are the store's
//! entries, a network that loses and delays messages, and the clocks. Names are not disabled here.
//!
//! Time passes in whole units, and a state has times only relative to the present, so that states
//! recur and a search ends. Without a fault nothing is late but hints: a message arrives and a timer
//! fires within the unit of time in which it is possible, in any order. A hint arrives at any time
//! later, or never.

mod answer;
mod apply;
mod driver;
mod explore;
mod mutation;
mod network;
mod participant;
mod protocol;
mod state;
mod step;
mod store;
mod units;

use stateright::{Model, Property};

pub use mutation::Mutation;
pub use participant::Participant;
pub use protocol::QueueModel;
pub use state::{Message, MessageStage, QueueRule, QueueState};
pub use step::QueueStep;
pub use store::{Call, QueueStore, Reply, StoredEntry};

impl Model for QueueModel {
    type State = QueueState;
    type Action = QueueStep;

    fn init_states(&self) -> Vec<QueueState> {
        vec![QueueState {
            store: QueueStore::default(),
            instances: self.weights.iter().map(|_| Some(self.participant())).collect(),
            network: Vec::new(),
            left: self.budget,
            vacant: 0,
            unheard: 0,
            had_faults: false,
            broken: None,
        }]
    }

    fn actions(&self, state: &QueueState, steps: &mut Vec<QueueStep>) {
        steps.extend(self.possible(state));
    }

    fn next_state(&self, state: &QueueState, step: QueueStep) -> Option<QueueState> {
        Some(self.apply(state.clone(), step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "the entries that instances trust do not exceed the capacity",
                |model: &Self, state: &QueueState| {
                    let trusted = state.running().filter(|(_, instance)| instance.trusts());
                    let weights = trusted.map(|(at, _)| u64::from(model.weights[at]));
                    weights.sum::<u64>() <= u64::from(model.kind.capacity())
                },
            ),
            Property::always("an entry that is trusted is live", |_, state: &QueueState| {
                let is_live =
                    |it: &Participant| state.store.live().any(|entry| it.lease == Some(entry.id));
                state.running().all(|(_, it)| !it.trusts() || is_live(it))
            }),
            Property::always(
                "nobody holds the lock ahead of an earlier live entry that waits",
                |model: &Self, state: &QueueState| {
                    let is_trusted = |entry: &StoredEntry| {
                        state.running().any(|(_, it)| it.trusts() && it.lease == Some(entry.id))
                    };
                    let holders = model.holders(&state.store).count();
                    !state.store.live().skip(holders).any(is_trusted)
                },
            ),
            Property::always(
                "tokens strictly increase in the order of arrival",
                |_, state: &QueueState| {
                    state.broken != Some(QueueRule::TokensGrow)
                        && state.store.entries.is_sorted_by(|one, next| one.token < next.token)
                },
            ),
            Property::always("an attempt has one entry", |_, state: &QueueState| {
                state.broken != Some(QueueRule::OneEntry)
            }),
            Property::always("an expired entry is never revived", |_, state: &QueueState| {
                state.broken != Some(QueueRule::EntriesEnd)
            }),
            Property::always(
                "no instance waits behind its own attempt",
                |_, state: &QueueState| state.broken != Some(QueueRule::NoSelfBlocking),
            ),
            Property::always("trust that has ended does not return", |_, state: &QueueState| {
                state.broken != Some(QueueRule::TrustReturns)
            }),
            Property::always(
                "a waiter learns without a hint that its entry holds the lock",
                |model: &Self, state: &QueueState| state.unheard <= model.unheard_limit(state),
            ),
            Property::always(
                "once faults have ended, an instance holds the lock",
                |model: &Self, state: &QueueState| state.vacant <= model.vacant_limit(state),
            ),
        ]
    }
}
