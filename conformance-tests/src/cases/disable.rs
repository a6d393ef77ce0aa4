//! Promise `disable-wins`: a disabled name is granted to nobody, and its holder's renewals report
//! it.

use std::time::Duration;

use leasehold_core::{
    AcquireOutcome, DisableOptions, DisableOutcome, EnableOutcome, LeaseId, LockState, Reason,
    RenewOutcome,
};
use tokio::time::sleep;

use crate::expect::{already_disabled, extended, not_extended, refused};
use crate::{CLOCK_TOLERANCE, CaseResult, Ctx, race};

crate::case::cases! {
    DisableWins: [
        a_disabled_name_is_granted_to_nobody,
        a_name_stays_disabled_after_release_expiry_and_renewal,
        a_renewal_of_a_disabled_name_reports_the_reason_and_extends_nothing,
        disable_leaves_the_lease_in_force_until_it_ends,
        an_ending_lease_is_not_renewed_after_enable,
        a_new_lease_after_enable_is_renewed,
        a_second_disable_keeps_the_first_reason,
        one_of_16_concurrent_disables_takes_effect,
        one_of_16_concurrent_enables_takes_effect,
        enable_of_an_enabled_name_changes_and_creates_nothing,
        a_never_used_name_can_be_disabled,
        no_grant_begins_after_disable_has_returned,
        a_grant_that_races_with_a_disable_is_not_renewed,
        reason_and_operator_are_kept_byte_for_byte,
        disable_affects_no_other_name,
    ],
}

async fn a_disabled_name_is_granted_to_nobody(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    assert_eq!(first.disable(&name, "upkeep").await?, DisableOutcome::Disabled);
    for client in [&first, &second] {
        let disablement = refused(client.acquire(&name, LeaseId::new(), ttl).await?);
        assert_eq!(disablement.reason.as_str(), "upkeep");
    }
    assert_eq!(second.enable(&name).await?, EnableOutcome::Enabled);
    first.acquire_free(&name, ttl).await?;
    Ok(())
}

async fn a_name_stays_disabled_after_release_expiry_and_renewal(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let ttl = ctx.long_ttl();
    // The lease that is in force at the disable is released, expires, or is renewed.
    for end in ["released", "expired", "renewed"] {
        let name = ctx.name(end);
        let lease_ttl = if end == "expired" { ctx.short_ttl() } else { ttl };
        let taken = client.acquire_free(&name, lease_ttl).await?;
        client.disable(&name, "upkeep").await?;
        match end {
            "released" => client.release_held(&taken).await?,
            "expired" => ctx.until_over(&client, &name).await?,
            _ => _ = not_extended(client.renew(&name, taken.lease, ttl).await?),
        }
        client.release(&name, LeaseId::new()).await?;
        client.renew(&name, LeaseId::new(), ttl).await?;
        let outcome = client.acquire(&name, LeaseId::new(), ttl).await?;
        if end == "renewed" {
            let is_grant = matches!(outcome, AcquireOutcome::Granted(_));
            assert!(!is_grant, "{end}: granted while it is held and disabled");
        } else {
            assert_eq!(refused(outcome).reason.as_str(), "upkeep", "{end}");
        }
        let record = client.get(&name).await?.expect("it is on record");
        assert!(record.disabled.is_some(), "{end}: the disable was lost");
        assert_eq!(client.enable(&name).await?, EnableOutcome::Enabled, "{end}");
    }
    Ok(())
}

async fn a_renewal_of_a_disabled_name_reports_the_reason_and_extends_nothing(
    ctx: Ctx,
) -> CaseResult {
    let (holder, operator) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = holder.acquire_free(&name, ttl).await?;
    operator.disable(&name, "upkeep").await?;
    for _ in 0..2 {
        sleep(Duration::from_millis(80)).await;
        let passed = taken.answered.elapsed();
        let (reason, left) = not_extended(holder.renew(&name, taken.lease, ttl * 2).await?);
        let most = taken.left.saturating_sub(passed) + CLOCK_TOLERANCE + ctx.coarseness();
        assert_eq!(reason.as_str(), "upkeep");
        assert!(left <= most, "{left:?} left, {most:?} at most");
        let lease = operator.lease_of(&name).await?.expect("the lease is in force");
        assert!(lease.left <= most, "{:?} left on record, {most:?} at most", lease.left);
    }
    Ok(())
}

async fn disable_leaves_the_lease_in_force_until_it_ends(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let name = ctx.name("job");
    let taken = client.acquire_free(&name, ctx.long_ttl()).await?;
    client.disable(&name, "upkeep").await?;
    let record = client.get(&name).await?.expect("it is on record");
    assert_eq!(record.state(), LockState::Ending);
    assert_eq!(record.token, Some(taken.token));
    let lease = record.lease.expect("the lease is in force");
    assert_eq!(lease.id, taken.lease);
    assert_eq!(lease.ending.as_ref().map(Reason::as_str), Some("upkeep"));
    client.release_held(&taken).await?;
    assert_eq!(client.get(&name).await?.map(|r| r.state()), Some(LockState::Disabled));
    client.enable(&name).await?;
    assert_eq!(client.get(&name).await?.map(|r| r.state()), Some(LockState::Free));
    Ok(())
}

async fn an_ending_lease_is_not_renewed_after_enable(ctx: Ctx) -> CaseResult {
    let (holder, operator) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = holder.acquire_free(&name, ttl).await?;
    // The name was disabled and enabled between two heartbeats. The holder must still stop.
    operator.disable(&name, "restart it").await?;
    operator.enable(&name).await?;
    let (reason, left) = not_extended(holder.renew(&name, taken.lease, ttl * 2).await?);
    assert_eq!(reason.as_str(), "restart it");
    assert!(left <= ttl, "{left:?} left of {ttl:?}");
    let record = operator.get(&name).await?.expect("it is on record");
    assert_eq!(record.state(), LockState::Ending);
    assert_eq!(record.disabled, None);
    let outcome = operator.acquire(&name, LeaseId::new(), ttl).await?;
    assert!(matches!(outcome, AcquireOutcome::Held(_)), "it is still in force: {outcome:?}");
    Ok(())
}

async fn a_new_lease_after_enable_is_renewed(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    for end in ["released", "expired"] {
        let old_ttl = if end == "released" { ttl } else { ctx.short_ttl() };
        let old = client.acquire_free(&name, old_ttl).await?;
        client.disable(&name, "upkeep").await?;
        client.enable(&name).await?;
        if end == "released" {
            client.release_held(&old).await?;
        } else {
            ctx.until_over(&client, &name).await?;
        }
        let new = client.acquire_free(&name, ttl).await?;
        extended(client.renew(&name, new.lease, ttl).await?);
        let lease = client.lease_of(&name).await?.expect("the lease is in force");
        assert_eq!(lease.ending, None, "{end}: the new lease inherits no end");
        client.release_held(&new).await?;
    }
    Ok(())
}

async fn a_second_disable_keeps_the_first_reason(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = first.acquire_free(&name, ttl).await?;
    assert_eq!(first.disable(&name, "the first").await?, DisableOutcome::Disabled);
    let kept = already_disabled(second.disable(&name, "the second").await?);
    assert_eq!(kept.reason.as_str(), "the first");
    let (reason, _) = not_extended(first.renew(&name, taken.lease, ttl).await?);
    assert_eq!(reason.as_str(), "the first");
    first.release_held(&taken).await?;
    let kept = refused(second.acquire(&name, LeaseId::new(), ttl).await?);
    assert_eq!(kept.reason.as_str(), "the first");
    // A later disable has its own reason.
    first.enable(&name).await?;
    assert_eq!(second.disable(&name, "the third").await?, DisableOutcome::Disabled);
    let kept = refused(first.acquire(&name, LeaseId::new(), ttl).await?);
    assert_eq!(kept.reason.as_str(), "the third");
    Ok(())
}

async fn one_of_16_concurrent_disables_takes_effect(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(4).await?;
    for round in 0..6 {
        // Each name is unused in its first round, and used in the later ones.
        let name = ctx.name(if round % 2 == 0 { "job" } else { "other" });
        let outcomes = race((0..16).map(|copy| {
            let (client, name) = (clients[copy % 4].clone(), name.clone());
            async move {
                let reason = format!("reason {copy}");
                Ok((reason.clone(), client.disable(&name, &reason).await?))
            }
        }))
        .await?;
        let first: Vec<&String> = outcomes
            .iter()
            .filter(|(_, outcome)| *outcome == DisableOutcome::Disabled)
            .map(|(reason, _)| reason)
            .collect();
        assert_eq!(first.len(), 1, "round {round}: {} disabled it", first.len());
        for (_, outcome) in &outcomes {
            if let DisableOutcome::AlreadyDisabled(kept) = outcome {
                assert_eq!(kept.reason.as_str(), first[0], "round {round}: one reason is kept");
            }
        }
        clients[0].enable(&name).await?;
    }
    Ok(())
}

async fn one_of_16_concurrent_enables_takes_effect(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(4).await?;
    let name = ctx.name("job");
    for round in 0..6 {
        clients[0].disable(&name, "upkeep").await?;
        let outcomes = race((0..16).map(|copy| {
            let (client, name) = (clients[copy % 4].clone(), name.clone());
            async move { Ok(client.enable(&name).await?) }
        }))
        .await?;
        let enabled = outcomes.iter().filter(|o| **o == EnableOutcome::Enabled).count();
        assert_eq!(enabled, 1, "round {round}");
    }
    Ok(())
}

async fn enable_of_an_enabled_name_changes_and_creates_nothing(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (used, unused, ttl) = (ctx.name("used"), ctx.name("unused"), ctx.long_ttl());
    let taken = client.acquire_free(&used, ttl).await?;
    for name in [&used, &unused] {
        assert_eq!(client.enable(name).await?, EnableOutcome::AlreadyEnabled);
    }
    assert_eq!(client.get(&unused).await?, None, "enable creates no record");
    assert_eq!(client.names("").await?, std::slice::from_ref(&used));
    assert_eq!(client.holder_of(&used).await?, Some(taken.lease));
    extended(client.renew(&used, taken.lease, ttl).await?);
    Ok(())
}

async fn a_never_used_name_can_be_disabled(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let name = ctx.name("never used");
    assert_eq!(first.disable(&name, "not yet").await?, DisableOutcome::Disabled);
    let record = second.get(&name).await?.expect("a disabled name is on record");
    assert_eq!((record.state(), record.token), (LockState::Disabled, None));
    refused(second.acquire(&name, LeaseId::new(), ctx.long_ttl()).await?);
    assert_eq!(second.get(&name).await?.and_then(|r| r.token), None, "a token without a grant");
    second.enable(&name).await?;
    first.acquire_free(&name, ctx.long_ttl()).await?;
    Ok(())
}

async fn no_grant_begins_after_disable_has_returned(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(4).await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    for round in 0..8 {
        // 32 clients acquire and release the name repeatedly until each is refused.
        let operator = {
            let (client, name) = (clients[0].clone(), name.clone());
            async move {
                sleep(Duration::from_millis(fastrand::u64(0..15))).await;
                assert_eq!(client.disable(&name, "upkeep").await?, DisableOutcome::Disabled);
                // A grant that is on record when `disable` returns was made before it.
                let known = client.get(&name).await?.and_then(|record| record.token);
                sleep(Duration::from_millis(20)).await;
                let record = client.get(&name).await?.expect("it is on record");
                assert_eq!(record.token, known, "a grant began while the name was disabled");
                Ok(())
            }
        };
        let contenders = (0..32).map(|contender| {
            let (client, name) = (clients[contender % 4].clone(), name.clone());
            async move {
                loop {
                    match client.try_acquire(&name, ttl).await? {
                        Ok(taken) => {
                            // Only a lease that was granted before the disable is told of it.
                            let outcome = client.renew(&name, taken.lease, ttl).await?;
                            assert_ne!(outcome, RenewOutcome::Lost, "nobody else took it");
                            client.release_held(&taken).await?;
                            // If the store always replies at once, no other task would run.
                            tokio::task::yield_now().await;
                        }
                        Err(AcquireOutcome::Disabled(_)) => return Ok(()),
                        Err(_) => sleep(Duration::from_millis(fastrand::u64(1..5))).await,
                    }
                }
            }
        });
        let contenders = race(contenders);
        let (operated, contended) = tokio::join!(crate::spawn(operator).join(), contenders);
        operated?;
        contended?;
        assert_eq!(clients[1].enable(&name).await?, EnableOutcome::Enabled, "round {round}");
    }
    Ok(())
}

async fn a_grant_that_races_with_a_disable_is_not_renewed(ctx: Ctx) -> CaseResult {
    let (holder, operator) = (ctx.open().await?, ctx.open().await?);
    let ttl = ctx.long_ttl();
    for round in 0..20 {
        let name = ctx.name(&format!("job {round}"));
        let lease = LeaseId::new();
        let (granted, disabled) =
            tokio::join!(holder.acquire(&name, lease, ttl), operator.disable(&name, "upkeep"),);
        assert_eq!(disabled?, DisableOutcome::Disabled);
        match granted? {
            // The lease was granted before the disable, so it must end.
            AcquireOutcome::Granted(_) => {
                not_extended(holder.renew(&name, lease, ttl).await?);
            }
            other => _ = refused(other),
        }
    }
    Ok(())
}

async fn reason_and_operator_are_kept_byte_for_byte(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let long = "ü".repeat(Reason::MAX_BYTES / 2);
    let words =
        ["'; DROP TABLE x --", "two\nlines\t\"quoted\" \\ 100 % $1", " padded ", "🚧", &long];
    for (number, words) in words.into_iter().enumerate() {
        let name = ctx.name(&format!("job {number}"));
        let taken = client.acquire_free(&name, ctx.long_ttl()).await?;
        let options = DisableOptions::new(Reason::new(words)?).with_by(words.to_owned());
        client.store().disable(&name, &options).await?;
        let record = client.get(&name).await?.expect("it is on record");
        let disabled = record.disabled.expect("it is disabled");
        assert_eq!((disabled.reason.as_str(), disabled.by.as_deref()), (words, Some(words)));
        assert!(disabled.since < Duration::from_secs(60), "disabled for {:?}", disabled.since);
        let (reason, _) = not_extended(client.renew(&name, taken.lease, ctx.long_ttl()).await?);
        assert_eq!(reason.as_str(), words);
    }
    Ok(())
}

async fn disable_affects_no_other_name(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let ttl = ctx.long_ttl();
    let other = client.acquire_free(&ctx.name("job 2"), ttl).await?;
    client.disable(&ctx.name("job"), "upkeep").await?;
    client.disable(&ctx.name("job%"), "upkeep").await?;
    extended(client.renew(&other.name, other.lease, ttl).await?);
    client.release_held(&other).await?;
    client.acquire_free(&ctx.name("job 2"), ttl).await?;
    Ok(())
}
