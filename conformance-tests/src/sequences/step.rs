//! What sequences are made of, and how they are drawn.

use std::ops::RangeInclusive;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// How many clients, each connected on its own.
pub(super) const CLIENTS: usize = 3;

/// The names, which stores that fold names take for one.
pub(super) const NAMES: [&str; 2] = ["job", "Job"];

/// How many attempts there are, each at one name from one holder. What is said of an attempt stays
/// true while a sequence is shrunk: so an attempt may be renewed that was never made.
pub(super) const ATTEMPTS: usize = 6;

/// The name that an attempt is at, or with `elsewhere` the one that it is not at.
pub(super) fn name_of(attempt: usize, elsewhere: bool) -> usize {
    (attempt + usize::from(elsewhere)) % NAMES.len()
}

/// One step, and what the network makes of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Move {
    pub(super) step: Step,
    pub(super) fate: Fate,
}

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// So many quarters of a short ttl.
    Pass {
        quarters: u32,
    },
    Get {
        client: usize,
        name: usize,
    },
    List {
        client: usize,
    },
    Enable {
        client: usize,
        name: usize,
    },
    Disable {
        client: usize,
        name: usize,
        reason: usize,
    },
    Release {
        client: usize,
        attempt: usize,
        elsewhere: bool,
    },
    /// A new attempt, a retry, or one whose lease has ended.
    Acquire {
        client: usize,
        attempt: usize,
        ttl: Ttl,
    },
    Renew {
        client: usize,
        batch: Vec<Renewal>,
    },
    /// Until the store says that no lease of that name is in force, unless it is a long one.
    Outlast {
        client: usize,
        name: usize,
    },
}

/// One of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Renewal {
    pub(super) attempt: usize,
    pub(super) elsewhere: bool,
    pub(super) ttl: Ttl,
}

/// For how long a lease is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ttl {
    /// It may run out in the middle of a sequence.
    Short,
    Double,
    /// It does not run out.
    Long,
}

/// What the network makes of a call that writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Answered,
    AnswerLost,
    RequestLost,
}

/// How many steps a sequence has.
pub(super) const LENGTHS: RangeInclusive<usize> = 10..=30;

/// Steps, some of whose requests and answers get lost if so asked.
pub(super) fn steps(
    lossy: bool,
) -> impl Strategy<Value = Move, Tree: ValueTree<Value = Move> + Send> {
    let fate = prop_oneof![
        8 => Just(Fate::Answered),
        2 => Just(Fate::AnswerLost),
        1 => Just(Fate::RequestLost),
    ];
    (step(), fate).prop_map(move |(step, fate)| Move {
        step,
        fate: if lossy { fate } else { Fate::Answered },
    })
}

/// One step. What others may become when they are made simpler comes first.
fn step() -> impl Strategy<Value = Step, Tree: ValueTree<Value = Step> + Send> {
    let (client, name, attempt) = (0..CLIENTS, 0..NAMES.len(), 0..ATTEMPTS);
    let elsewhere = proptest::bool::weighted(0.1);
    prop_oneof![
        3 => (1u32..6).prop_map(|quarters| Step::Pass { quarters }),
        2 => (client.clone(), name.clone()).prop_map(|(client, name)| Step::Get { client, name }),
        1 => client.clone().prop_map(|client| Step::List { client }),
        2 => (client.clone(), name.clone())
            .prop_map(|(client, name)| Step::Enable { client, name }),
        2 => (client.clone(), name.clone(), 0usize..3)
            .prop_map(|(client, name, reason)| Step::Disable { client, name, reason }),
        3 => (client.clone(), attempt.clone(), elsewhere)
            .prop_map(|(client, attempt, elsewhere)| Step::Release { client, attempt, elsewhere }),
        7 => (client.clone(), attempt, ttl())
            .prop_map(|(client, attempt, ttl)| Step::Acquire { client, attempt, ttl }),
        5 => (client.clone(), proptest::collection::vec(renewal(), 1..=4))
            .prop_map(|(client, batch)| Step::Renew { client, batch: each_once(batch) }),
        1 => (client, name).prop_map(|(client, name)| Step::Outlast { client, name }),
    ]
}

fn ttl() -> impl Strategy<Value = Ttl, Tree: ValueTree<Value = Ttl> + Send> {
    prop_oneof![6 => Just(Ttl::Short), 2 => Just(Ttl::Double), 1 => Just(Ttl::Long)]
}

fn renewal() -> impl Strategy<Value = Renewal, Tree: ValueTree<Value = Renewal> + Send> {
    (0..ATTEMPTS, proptest::bool::weighted(0.1), ttl())
        .prop_map(|(attempt, elsewhere, ttl)| Renewal { attempt, elsewhere, ttl })
}

/// A caller names each lease once in a batch.
fn each_once(mut batch: Vec<Renewal>) -> Vec<Renewal> {
    let mut seen = [[false; 2]; ATTEMPTS];
    batch.retain(|renewal| {
        let seen = &mut seen[renewal.attempt][usize::from(renewal.elsewhere)];
        !std::mem::replace(seen, true)
    });
    batch
}
