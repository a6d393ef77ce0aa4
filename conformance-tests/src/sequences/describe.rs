//! Describes steps and answers briefly for a report of a wrong answer.

use leasehold_core::{
    AcquireOutcome, DisableOutcome, EnableOutcome, LeaseId, LockRecord, QueueRecord, Queued,
    ReleaseOutcome, RenewOutcome,
};

use super::step::{NAMES, Renewal, Step, name_of};
use crate::model::Answer;

/// Describes what a step does.
pub(super) fn step(step: &Step) -> String {
    match step {
        Step::Pass { quarters } => format!("{quarters}/4 of a short ttl pass"),
        Step::Get { client, name } => format!("client {client} gets {:?}", NAMES[*name]),
        Step::List { client } => format!("client {client} lists all"),
        Step::Enable { client, name } => format!("client {client} enables {:?}", NAMES[*name]),
        Step::Disable { client, name, reason } => {
            format!("client {client} disables {:?} for reason {reason}", NAMES[*name])
        }
        Step::Release { client, attempt, elsewhere } => {
            format!("client {client} releases {}", lease(*attempt, *elsewhere))
        }
        Step::Acquire { client, attempt, ttl } => {
            format!("client {client} acquires {}, {ttl:?}", lease(*attempt, false))
        }
        Step::Renew { client, batch } => {
            let batch: Vec<String> = batch.iter().map(renewal).collect();
            format!("client {client} renews {}", batch.join(" and "))
        }
        Step::Leave { client, attempt, elsewhere } => {
            format!("client {client} leaves {}", lease(*attempt, *elsewhere))
        }
        Step::Enter { client, attempt, ttl, kind, weight, wait } => {
            let (lease, weight) = (lease(*attempt, false), weight.of(*kind));
            let wait = if *wait { "" } else { ", without waiting" };
            format!("client {client} enters {lease}, {ttl:?}, {kind}, weight {weight}{wait}")
        }
        Step::Outlast { client, name } => {
            format!("client {client} waits until {:?} is free", NAMES[*name])
        }
    }
}

fn lease(attempt: usize, elsewhere: bool) -> String {
    format!("{:?} as {attempt}", NAMES[name_of(attempt, elsewhere)])
}

fn renewal(renewal: &Renewal) -> String {
    let Renewal { attempt, elsewhere, ttl, of_entry } = renewal;
    let what = if *of_entry { "the entry" } else { "the lease" };
    format!("{what} of {}, {ttl:?}", lease(*attempt, *elsewhere))
}

pub(super) fn attempted(answer: &Answer) -> String {
    match answer {
        Answer::Outcome(outcome) => acquired(outcome),
        Answer::Conflict(message) => format!("refused: {message}"),
    }
}

fn acquired(outcome: &AcquireOutcome) -> String {
    match outcome {
        AcquireOutcome::Granted(grant) => {
            format!("granted, token {}, {} ms left", grant.token, grant.left.as_millis())
        }
        AcquireOutcome::Queued(queued) => {
            let Queued { token, left, ahead, .. } = queued;
            format!("queued behind {ahead}, token {token}, {} ms left", left.as_millis())
        }
        AcquireOutcome::Held(held) => {
            format!("held, token {}, {} ms left", held.token, held.left.as_millis())
        }
        AcquireOutcome::Disabled(why) => format!("disabled since {:?}", why.reason),
    }
}

pub(super) fn renewed(outcome: &RenewOutcome) -> String {
    match outcome {
        RenewOutcome::Extended { left, .. } => format!("extended, {} ms left", left.as_millis()),
        RenewOutcome::Queued { left, ahead, .. } => {
            format!("queued behind {ahead}, {} ms left", left.as_millis())
        }
        RenewOutcome::Lost => "lost".to_owned(),
        RenewOutcome::Unknown { why, .. } => format!("unknown: {why}"),
        RenewOutcome::Disabled { reason, left, .. } => {
            format!("to end since {reason:?}, {} ms left", left.as_millis())
        }
    }
}

pub(super) fn released(outcome: &ReleaseOutcome) -> String {
    match outcome {
        ReleaseOutcome::Released => "released".to_owned(),
        ReleaseOutcome::NotHeld => "not held".to_owned(),
    }
}

pub(super) fn disabled(outcome: &DisableOutcome) -> String {
    match outcome {
        DisableOutcome::Disabled => "disabled".to_owned(),
        DisableOutcome::AlreadyDisabled(why) => format!("disabled already since {:?}", why.reason),
    }
}

pub(super) fn enabled(outcome: &EnableOutcome) -> String {
    match outcome {
        EnableOutcome::Enabled => "enabled".to_owned(),
        EnableOutcome::AlreadyEnabled => "enabled already".to_owned(),
    }
}

/// Describes a record. `of` returns the attempt that has a lease.
pub(super) fn record(record: Option<&LockRecord>, of: impl Fn(LeaseId) -> String) -> String {
    let Some(record) = record else { return "no record".to_owned() };
    let mut words = match &record.lease {
        Some(lease) => {
            let ending = lease.ending.as_ref().map(|why| format!(", to end since {why:?}"));
            let (left, ending) = (lease.left.as_millis(), ending.unwrap_or_default());
            format!("held by {}, {left} ms left{ending}", of(lease.id))
        }
        None => record.queue.as_ref().map_or_else(
            || "free".to_owned(),
            |queue| format!("{} with {}", record.kind, entries(queue, of)),
        ),
    };
    if let Some(token) = record.token {
        words += &format!(", token {token}");
    }
    if let Some(why) = &record.disabled {
        words += &format!(", disabled since {:?}", why.reason);
    }
    words
}

fn entries(queue: &QueueRecord, of: impl Fn(LeaseId) -> String) -> String {
    let entries = queue.entries.iter().map(|entry| {
        let ending = entry.ending.as_ref().map(|why| format!(", to leave since {why:?}"));
        let (left, ending) = (entry.left.as_millis(), ending.unwrap_or_default());
        format!("{} (weight {}, {left} ms left{ending})", of(entry.id), entry.weight)
    });
    let entries: Vec<String> = entries.collect();
    format!("{}, of which {} hold it", entries.join(", "), queue.holding)
}
