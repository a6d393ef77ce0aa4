//! Promise `one-answer-per-lease`: one call acquires, renews or releases many leases, with one
//! answer each.

use std::time::Duration;

use leasehold_core::{
    AcquireOutcome, LeaseId, LockName, ReleaseOptions, ReleaseOutcome, RenewOptions, RenewOutcome,
};

use crate::{CaseResult, Client, Ctx, HeldLease, race};

crate::case::cases! {
    OneAnswerPerLease: [
        a_thousand_leases_are_answered_in_order,
        an_empty_batch_has_no_answers,
        a_lease_twice_in_a_batch_is_answered_twice,
        only_the_leases_in_force_are_extended,
        each_lease_is_extended_by_its_own_ttl,
        concurrent_overlapping_batches_all_succeed,
        each_attempt_of_a_batch_is_answered_in_order,
        each_lease_of_a_batch_is_released_by_its_own_id,
    ],
}

fn renewal(name: &LockName, lease: LeaseId, ttl: Duration) -> RenewOptions {
    RenewOptions::new(name.clone(), lease, ttl)
}

/// Acquires many names, a few at a time.
async fn take_many(
    client: &Client,
    names: Vec<LockName>,
    ttl: Duration,
) -> CaseResult<Vec<HeldLease>> {
    let mut all = Vec::new();
    for some in names.chunks(50) {
        all.extend(
            race(some.iter().cloned().map(|name| {
                let client = client.clone();
                async move { client.acquire_free(&name, ttl).await }
            }))
            .await?,
        );
    }
    Ok(all)
}

fn numbered(ctx: &Ctx, kind: &str, count: usize) -> Vec<LockName> {
    (0..count).map(|number| ctx.name(&format!("{kind} {number}"))).collect()
}

async fn a_thousand_leases_are_answered_in_order(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let ttl = ctx.long_ttl();
    let expired = take_many(&client, numbered(&ctx, "expired", 50), ctx.short_ttl()).await?;
    let live = take_many(&client, numbered(&ctx, "live", 500), ttl).await?;
    let released = take_many(&client, numbered(&ctx, "released", 50), ttl).await?;
    let ending = take_many(&client, numbered(&ctx, "ending", 50), ttl).await?;
    for taken in &released {
        client.release_held(taken).await?;
    }
    for (number, taken) in ending.iter().enumerate() {
        client.disable(&taken.name, &format!("reason {number}")).await?;
    }
    for taken in &expired {
        ctx.until_over(&client, &taken.name).await?;
    }
    let expected = |taken: &HeldLease, outcome: &RenewOutcome| match outcome {
        RenewOutcome::Extended { .. } => taken.name.as_str().starts_with("live"),
        RenewOutcome::Lost => {
            !taken.name.as_str().starts_with("live") && !taken.name.as_str().starts_with("ending")
        }
        RenewOutcome::Queued { .. } | RenewOutcome::Unknown { .. } => false,
        RenewOutcome::Disabled { reason, .. } => {
            taken.name.as_str().strip_prefix("ending") == reason.as_str().strip_prefix("reason")
        }
    };
    let mut mixed: Vec<HeldLease> = [live.clone(), expired, released, ending, live].concat();
    // These renewals have foreign ids, so each is lost, whatever its name.
    mixed.truncate(950);
    let foreign: Vec<HeldLease> = (0..50)
        .map(|number| HeldLease {
            name: ctx.name(&format!("never granted {number}")),
            lease: LeaseId::new(),
            ..mixed[number].clone()
        })
        .collect();
    mixed.extend(foreign);
    fastrand::shuffle(&mut mixed);
    assert_eq!(mixed.len(), 1000);
    for batch in mixed.chunks(ctx.capabilities().renew_batch.max(1)) {
        let requested: Vec<_> = batch.iter().map(|t| renewal(&t.name, t.lease, ttl)).collect();
        let outcomes = client.store().renew(&requested).await?;
        assert_eq!(outcomes.len(), requested.len(), "one answer each");
        for (taken, outcome) in batch.iter().zip(&outcomes) {
            assert!(expected(taken, outcome), "{:?} answers {outcome:?}", taken.name);
        }
    }
    assert!(client.names("never granted").await?.is_empty(), "a batch creates nothing");
    Ok(())
}

async fn an_empty_batch_has_no_answers(ctx: Ctx) -> CaseResult {
    assert_eq!(ctx.open().await?.store().renew(&[]).await?, []);
    Ok(())
}

async fn a_lease_twice_in_a_batch_is_answered_twice(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = client.acquire_free(&name, ttl).await?;
    let (own, foreign) = (renewal(&name, taken.lease, ttl), renewal(&name, LeaseId::new(), ttl));
    let batch = [own.clone(), foreign.clone(), own.clone(), foreign, own];
    let outcomes = client.store().renew(&batch).await?;
    let extended: Vec<bool> =
        outcomes.iter().map(|o| matches!(o, RenewOutcome::Extended { .. })).collect();
    assert_eq!(extended, [true, false, true, false, true], "{outcomes:?}");
    Ok(())
}

async fn only_the_leases_in_force_are_extended(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let ttl = ctx.long_ttl();
    let all = take_many(&client, numbered(&ctx, "job", 8), ttl).await?;
    // Two renewals have their own ids. The others have foreign ids or each other's.
    let batch: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(number, taken)| {
            let lease = match number {
                0 | 5 => taken.lease,
                7 => all[0].lease,
                _ => LeaseId::new(),
            };
            renewal(&taken.name, lease, ttl * 2)
        })
        .collect();
    let outcomes = client.store().renew(&batch).await?;
    for (number, (taken, outcome)) in all.iter().zip(outcomes).enumerate() {
        let own = matches!(number, 0 | 5);
        assert_eq!(matches!(outcome, RenewOutcome::Extended { .. }), own, "{number}: {outcome:?}");
        let lease = client.lease_of(&taken.name).await?.expect("the lease is in force");
        assert_eq!(lease.left > ttl, own, "{number}: {:?} left of {ttl:?}", lease.left);
    }
    Ok(())
}

async fn each_lease_is_extended_by_its_own_ttl(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let ttl = ctx.long_ttl();
    let all = take_many(&client, numbered(&ctx, "job", 5), ttl).await?;
    let ttls: Vec<Duration> = (2u32..).map(|times| ttl * times).take(all.len()).collect();
    let batch: Vec<_> =
        all.iter().zip(&ttls).map(|(taken, ttl)| renewal(&taken.name, taken.lease, *ttl)).collect();
    let outcomes = client.store().renew(&batch).await?;
    for (outcome, own) in outcomes.into_iter().zip(ttls) {
        let left = crate::expect::extended(outcome);
        assert!(left <= own && left > own.saturating_sub(ttl), "{left:?} left of {own:?}");
    }
    Ok(())
}

async fn concurrent_overlapping_batches_all_succeed(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(4).await?;
    let ttl = ctx.long_ttl();
    let all = take_many(&clients[0], numbered(&ctx, "job", 60), ttl).await?;
    for _ in 0..10 {
        // The orders differ, so that row locks could deadlock.
        race((0..8).map(|copy| {
            let client = clients[copy % 4].clone();
            let mut batch: Vec<_> = all.iter().map(|t| renewal(&t.name, t.lease, ttl)).collect();
            match copy % 3 {
                0 => {}
                1 => batch.reverse(),
                _ => fastrand::shuffle(&mut batch),
            }
            async move {
                for outcome in client.store().renew(&batch).await? {
                    crate::expect::extended(outcome);
                }
                Ok(())
            }
        }))
        .await?;
    }
    Ok(())
}

async fn each_attempt_of_a_batch_is_answered_in_order(ctx: Ctx) -> CaseResult {
    let (client, other) = (ctx.open().await?, ctx.open().await?);
    let (names, ttl) = (numbered(&ctx, "job", 6), ctx.long_ttl());
    let held = take_many(&other, names[..2].to_vec(), ttl).await?;
    other.disable(&names[2], "upkeep").await?;
    // The order is not that of the names.
    let attempt = |name: &LockName| (name.clone(), client.options(LeaseId::new(), ttl));
    let attempts: Vec<_> = names.iter().rev().map(attempt).collect();
    let outcomes = client.store().acquire_many(&attempts).await;
    assert_eq!(outcomes.len(), attempts.len(), "one answer each");
    for ((name, options), outcome) in attempts.iter().zip(outcomes) {
        let outcome = outcome?;
        let is_held = held.iter().any(|taken| taken.name == *name);
        let as_expected = match &outcome {
            AcquireOutcome::Held(_) => is_held,
            AcquireOutcome::Disabled(_) => *name == names[2],
            AcquireOutcome::Granted(_) => !is_held && *name != names[2],
            AcquireOutcome::Queued(_) => false,
        };
        assert!(as_expected, "{name} answers {outcome:?}");
        let is_granted = matches!(outcome, AcquireOutcome::Granted(_));
        assert_eq!(client.holder_of(name).await? == Some(options.lease), is_granted, "{name}");
    }
    Ok(())
}

async fn each_lease_of_a_batch_is_released_by_its_own_id(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let mut all = take_many(&client, numbered(&ctx, "job", 8), ctx.long_ttl()).await?;
    // The order is not that of the names. Every other release has a foreign id.
    all.reverse();
    let is_own = |number: usize| number.is_multiple_of(2);
    let mut batch: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(number, taken)| {
            let lease = if is_own(number) { taken.lease } else { LeaseId::new() };
            ReleaseOptions::new(taken.name.clone(), lease)
        })
        .collect();
    batch.push(ReleaseOptions::new(ctx.name("never granted"), LeaseId::new()));
    let outcomes = client.store().release_many(&batch).await;
    assert_eq!(outcomes.len(), batch.len(), "one answer each");
    for (number, (released, outcome)) in batch.iter().zip(outcomes).enumerate() {
        let outcome = outcome?;
        let own = number < all.len() && is_own(number);
        assert_eq!(outcome == ReleaseOutcome::Released, own, "{:?}: {outcome:?}", released.name);
    }
    for (number, taken) in all.iter().enumerate() {
        let left = (!is_own(number)).then_some(taken.lease);
        assert_eq!(client.holder_of(&taken.name).await?, left, "{:?}", taken.name);
    }
    assert!(client.names("never granted").await?.is_empty(), "a release creates nothing");
    Ok(())
}
