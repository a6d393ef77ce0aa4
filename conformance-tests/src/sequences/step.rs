//! This module defines the steps of sequences, and draws them.

use std::ops::RangeInclusive;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// This many clients take part. Each has its own connections.
pub(super) const CLIENTS: usize = 3;

/// These are the names. Stores that ignore case would treat them as one.
pub(super) const NAMES: [&str; 2] = ["job", "Job"];

/// This many attempts exist. Each belongs to one name and one holder, and keeps them while a
/// sequence is shrunk. So a step may renew an attempt that was never made.
pub(super) const ATTEMPTS: usize = 6;

/// Returns the name of an attempt, or with `elsewhere` the other name.
pub(super) fn name_of(attempt: usize, elsewhere: bool) -> usize {
    (attempt + usize::from(elsewhere)) % NAMES.len()
}

/// A move is one step with its delivery by the network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Move {
    pub(super) step: Step,
    pub(super) delivery: Delivery,
}

/// This is a step of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// That many quarters of a short ttl pass.
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
    /// A new attempt is made, a retry, or an attempt whose lease has ended.
    Acquire {
        client: usize,
        attempt: usize,
        ttl: Ttl,
    },
    Renew {
        client: usize,
        batch: Vec<Renewal>,
    },
    /// Waits until the store reports that no lease of that name is in force, unless it is a long
    /// one.
    Outlast {
        client: usize,
        name: usize,
    },
}

/// This is one renewal of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Renewal {
    pub(super) attempt: usize,
    pub(super) elsewhere: bool,
    pub(super) ttl: Ttl,
}

/// A lease is acquired or renewed with this ttl.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ttl {
    /// The lease may expire in the middle of a sequence.
    Short,
    Double,
    /// The lease does not expire during a sequence.
    Long,
}

/// The network delivers a call that writes in one of these ways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Delivery {
    Answered,
    AnswerLost,
    RequestLost,
}

/// A sequence has this many steps.
pub(super) const LENGTHS: RangeInclusive<usize> = 10..=30;

/// Draws the steps. If `lossy` is set, some of their requests and answers are lost.
pub(super) fn steps(
    lossy: bool,
) -> impl Strategy<Value = Move, Tree: ValueTree<Value = Move> + Send> {
    let delivery = prop_oneof![
        8 => Just(Delivery::Answered),
        2 => Just(Delivery::AnswerLost),
        1 => Just(Delivery::RequestLost),
    ];
    (step(), delivery).prop_map(move |(step, delivery)| Move {
        step,
        delivery: if lossy { delivery } else { Delivery::Answered },
    })
}

/// Draws one step. The first kinds are those to which others may be simplified.
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

/// Removes duplicates, since a caller names each lease once in a batch.
fn each_once(mut batch: Vec<Renewal>) -> Vec<Renewal> {
    let mut seen = [[false; 2]; ATTEMPTS];
    batch.retain(|renewal| {
        let seen = &mut seen[renewal.attempt][usize::from(renewal.elsewhere)];
        !std::mem::replace(seen, true)
    });
    batch
}
