//! This module defines the steps of sequences, and draws them.

use std::num::NonZeroU32;
use std::ops::{Range, RangeInclusive};

use leasehold_core::LockKind;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// This many clients take part. Each has its own connections.
pub(super) const CLIENTS: usize = 3;

/// These are the names. Stores that ignore case would treat them as one.
pub(super) const NAMES: [&str; 2] = ["job", "Job"];

/// This many attempts exist. Each belongs to one name and one holder, and keeps them while a
/// sequence is shrunk. So a step may renew an attempt that was never made.
pub(super) const ATTEMPTS: usize = 14;

/// These attempts acquire leases.
const LEASES: Range<usize> = 0..6;

/// These attempts enter queues. A few steps confuse the two.
const ENTRIES: Range<usize> = LEASES.end..ATTEMPTS;

/// These are the kinds of locks with queues. A sequence uses one of them most of the time.
pub(super) const KINDS: [LockKind; 6] = [
    LockKind::Fair,
    LockKind::Semaphore(number(2)),
    LockKind::ReaderWriter,
    LockKind::Semaphore(number(3)),
    LockKind::Leaders(number(2)),
    LockKind::Semaphore(number(5)),
];

const fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(number - 1)
}

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
    Leave {
        client: usize,
        attempt: usize,
        elsewhere: bool,
    },
    /// A new attempt is made, a retry, or an attempt whose entry has left or expired.
    Enter {
        client: usize,
        attempt: usize,
        ttl: Ttl,
        kind: LockKind,
        weight: Weight,
        wait: bool,
    },
    /// Waits until the store reports that no lease of that name is in force and no entry is live,
    /// except for long ones.
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
    pub(super) of_entry: bool,
}

/// An entry has this weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Weight {
    One,
    Two,
    /// The entry needs the whole capacity, as a writer does.
    All,
}

impl Weight {
    /// Returns the weight of an entry in a lock of that kind.
    pub(super) fn of(self, kind: LockKind) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => kind.capacity().min(2),
            Self::All => kind.capacity(),
        }
    }
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

/// Adds the delivery to the steps. If `lossy` is set, some of their requests and answers are lost.
pub(super) fn delivered(
    step: impl Strategy<Value = Step, Tree: ValueTree<Value = Step> + Send>,
    lossy: bool,
) -> impl Strategy<Value = Move, Tree: ValueTree<Value = Move> + Send> {
    let delivery = prop_oneof![
        8 => Just(Delivery::Answered),
        2 => Just(Delivery::AnswerLost),
        1 => Just(Delivery::RequestLost),
    ];
    (step, delivery).prop_map(move |(step, delivery)| Move {
        step,
        delivery: if lossy { delivery } else { Delivery::Answered },
    })
}

/// Draws a step about exclusive locks. The first kinds are those to which others may be simplified.
pub(super) fn step_of_leases() -> impl Strategy<Value = Step, Tree: ValueTree<Value = Step> + Send>
{
    let (client, name, attempt) = (0..CLIENTS, 0..NAMES.len(), LEASES);
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

/// Draws a step about exclusive locks or queues, which are mostly those of that kind of lock.
pub(super) fn step_with_queues(
    usual: LockKind,
) -> impl Strategy<Value = Step, Tree: ValueTree<Value = Step> + Send> {
    let elsewhere = proptest::bool::weighted(0.1);
    prop_oneof![
        14 => step_of_leases(),
        2 => (1u32..6).prop_map(|quarters| Step::Pass { quarters }),
        4 => (0..CLIENTS, attempt(), elsewhere).prop_map(
            |(client, (attempt, of_entry), elsewhere)| if of_entry {
                Step::Leave { client, attempt, elsewhere }
            } else {
                Step::Release { client, attempt, elsewhere }
            }
        ),
        10 => entering(usual),
        5 => (0..CLIENTS, proptest::collection::vec(any_renewal(), 1..=4))
            .prop_map(|(client, batch)| Step::Renew { client, batch: each_once(batch) }),
    ]
}

fn entering(usual: LockKind) -> impl Strategy<Value = Step, Tree: ValueTree<Value = Step> + Send> {
    let attempt = prop_oneof![12 => ENTRIES, 1 => LEASES];
    let kind = prop_oneof![9 => Just(usual), 1 => (0..KINDS.len()).prop_map(|at| KINDS[at])];
    let weight =
        prop_oneof![5 => Just(Weight::One), 2 => Just(Weight::Two), 2 => Just(Weight::All)];
    let wait = proptest::bool::weighted(0.8);
    (0..CLIENTS, attempt, ttl(), kind, weight, wait).prop_map(
        |(client, attempt, ttl, kind, weight, wait)| Step::Enter {
            client,
            attempt,
            ttl,
            kind,
            weight,
            wait,
        },
    )
}

/// Draws an attempt, and whether the call is about its entry.
fn attempt() -> impl Strategy<Value = (usize, bool), Tree: ValueTree<Value = (usize, bool)> + Send>
{
    let attempt = prop_oneof![4 => ENTRIES, 1 => LEASES];
    (attempt, proptest::bool::weighted(0.1))
        .prop_map(|(attempt, confused)| (attempt, ENTRIES.contains(&attempt) != confused))
}

fn ttl() -> impl Strategy<Value = Ttl, Tree: ValueTree<Value = Ttl> + Send> {
    prop_oneof![6 => Just(Ttl::Short), 2 => Just(Ttl::Double), 1 => Just(Ttl::Long)]
}

fn renewal() -> impl Strategy<Value = Renewal, Tree: ValueTree<Value = Renewal> + Send> {
    (LEASES, proptest::bool::weighted(0.1), ttl()).prop_map(|(attempt, elsewhere, ttl)| Renewal {
        attempt,
        elsewhere,
        ttl,
        of_entry: false,
    })
}

fn any_renewal() -> impl Strategy<Value = Renewal, Tree: ValueTree<Value = Renewal> + Send> {
    (attempt(), proptest::bool::weighted(0.1), ttl()).prop_map(
        |((attempt, of_entry), elsewhere, ttl)| Renewal { attempt, elsewhere, ttl, of_entry },
    )
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
