//! Promise `own-retry-is-granted`: a retry with the same lease id returns the same grant.

use std::time::{Duration, Instant};

use leasehold_core::{AcquireOutcome, LeaseId};
use tokio::time::sleep;

use crate::expect::{already_disabled, extended, granted, held, not_extended};
use crate::{CLOCK_TOLERANCE, CaseResult, Ctx, race};

crate::case::cases! {
    OwnRetryIsGranted: [
        a_retry_returns_the_same_grant,
        a_retry_does_not_extend_the_lease,
        a_retry_after_a_renewal_keeps_the_renewed_lease,
        concurrent_duplicates_get_one_grant,
        a_retry_while_another_holds_the_name_is_refused,
        a_retry_after_the_lease_ended_never_returns_the_old_token,
    ],
    DisableWins: [
        a_retry_does_not_undo_a_disable,
    ],
}

async fn a_retry_returns_the_same_grant(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = first.acquire_free(&name, ttl).await?;
    // A retry may use another connection.
    for client in [&first, &second, &first] {
        let again = granted(client.acquire(&name, taken.lease, ttl).await?);
        assert_eq!(again.token, taken.token, "a retry is not a new grant");
        assert!(again.left <= taken.left, "{:?} left, then {:?}", taken.left, again.left);
    }
    assert_eq!(first.get(&name).await?.and_then(|r| r.token), Some(taken.token));
    first.release_held(&taken).await
}

async fn a_retry_does_not_extend_the_lease(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = client.acquire_free(&name, ttl).await?;
    for asked_for in [ttl, ctx.in_steps(ttl * 2)] {
        sleep(Duration::from_millis(150)).await;
        let passed = taken.answered.elapsed();
        let again = granted(client.acquire(&name, taken.lease, asked_for).await?);
        let most = taken.left.saturating_sub(passed) + CLOCK_TOLERANCE + ctx.coarseness();
        assert!(again.left <= most, "{:?} left, {most:?} at most", again.left);
        let lease = client.lease_of(&name).await?.expect("the lease is in force");
        assert!(lease.left <= most, "{:?} left on record, {most:?} at most", lease.left);
    }
    Ok(())
}

async fn a_retry_after_a_renewal_keeps_the_renewed_lease(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = client.acquire_free(&name, ttl).await?;
    let sent_at = Instant::now();
    let renewed = extended(client.renew(&name, taken.lease, ttl * 2).await?);
    let again = granted(client.acquire(&name, taken.lease, ttl).await?);
    let least = renewed.saturating_sub(sent_at.elapsed() + CLOCK_TOLERANCE + ctx.coarseness());
    assert_eq!(again.token, taken.token);
    assert!(again.left >= least, "{:?} left, {least:?} at least", again.left);
    Ok(())
}

async fn concurrent_duplicates_get_one_grant(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(4).await?;
    let ttl = ctx.long_ttl();
    for round in 0..10 {
        // One name is free after earlier use, and one was never used.
        let name = ctx.name(if round % 2 == 0 { "job" } else { "other" });
        let lease = LeaseId::new();
        let outcomes = race((0..16).map(|copy| {
            let (client, name) = (clients[copy % 4].clone(), name.clone());
            async move { Ok(client.acquire(&name, lease, ttl).await?) }
        }))
        .await?;
        let tokens: Vec<_> = outcomes.into_iter().map(|outcome| granted(outcome).token).collect();
        assert!(tokens.iter().all(|token| *token == tokens[0]), "round {round}: {tokens:?}");
        clients[0].release(&name, lease).await?;
        assert_eq!(clients[1].holder_of(&name).await?, None);
    }
    Ok(())
}

async fn a_retry_while_another_holds_the_name_is_refused(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let name = ctx.name("job");
    let old = first.acquire_free(&name, ctx.short_ttl()).await?;
    ctx.until_over(&first, &name).await?;
    let new = second.acquire_free(&name, ctx.long_ttl()).await?;
    let other = held(first.acquire(&name, old.lease, ctx.long_ttl()).await?);
    assert_eq!(other.token, new.token);
    assert_eq!(second.holder_of(&name).await?, Some(new.lease));
    Ok(())
}

async fn a_retry_after_the_lease_ended_never_returns_the_old_token(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (released, expired) = (ctx.name("released"), ctx.name("expired"));
    let first = client.acquire_free(&released, ctx.long_ttl()).await?;
    client.release_held(&first).await?;
    let second = client.acquire_free(&expired, ctx.short_ttl()).await?;
    ctx.until_over(&client, &expired).await?;
    for old in [first, second] {
        // The store may grant a late retry again, but never with the old token.
        if let AcquireOutcome::Granted(grant) =
            client.acquire(&old.name, old.lease, ctx.long_ttl()).await?
        {
            assert!(grant.token > old.token, "{:?}: token {} again", old.name, grant.token);
        }
    }
    Ok(())
}

async fn a_retry_does_not_undo_a_disable(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = client.acquire_free(&name, ttl).await?;
    client.disable(&name, "upkeep").await?;
    // The answer is its grant or the disable. In both cases it gains nothing.
    let outcome = client.acquire(&name, taken.lease, ttl).await?;
    match outcome {
        AcquireOutcome::Granted(grant) => assert_eq!(grant.token, taken.token),
        AcquireOutcome::Disabled(disablement) => assert_eq!(disablement.reason.as_str(), "upkeep"),
        AcquireOutcome::Held(_) | AcquireOutcome::Queued(_) => {
            panic!("nobody else holds it: {outcome:?}")
        }
    }
    already_disabled(client.disable(&name, "again").await?);
    not_extended(client.renew(&name, taken.lease, ttl).await?);
    client.enable(&name).await?;
    client.acquire(&name, taken.lease, ttl).await?;
    not_extended(client.renew(&name, taken.lease, ttl).await?);
    Ok(())
}
