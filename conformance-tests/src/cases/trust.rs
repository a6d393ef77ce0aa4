//! Promise `trust-ends-first`: trust ends before the lease does, as compared with the clock at each
//! call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use leasehold_core::{Clock, LossReason, Moment};
use parking_lot::Mutex;

use super::engine::{client, gated, settings, ttl};
use crate::{CaseResult, Ctx, Failure};

crate::case::cases! {
    TrustEndsFirst: [
        a_lock_is_trusted_for_less_than_its_ttl[SteadyMachine],
        trust_ends_even_if_no_task_runs,
        a_grant_that_arrives_too_late_is_not_used,
        lost_stays_pending_while_the_lock_is_held[SteadyMachine],
        trust_ends_before_another_client_is_granted_the_lock[SteadyMachine],
        a_disabled_lock_is_lost_with_its_reason_and_not_granted_again[SteadyMachine],
    ],
}

async fn a_lock_is_trusted_for_less_than_its_ttl(ctx: Ctx) -> CaseResult {
    let client = client(&ctx).await?;
    let guard = client.lock("job")?.acquire(ttl(&ctx)).await?;
    let trusted_until = Instant::now() + guard.remaining();
    let granted = client.status("job").await?.lease.expect("the lease is in force");
    // A heartbeat in between only extends the lease.
    let in_force_until = Instant::now() + granted.left;
    assert!(guard.is_held());
    assert!(trusted_until < in_force_until, "by {:?}", trusted_until - in_force_until);
    Ok(guard.release().await?)
}

/// This clock advances only when the case sets it.
#[derive(Debug, Default)]
struct HandClock(Mutex<Duration>);

impl Clock for HandClock {
    fn now(&self) -> Moment {
        Moment::from_origin(*self.0.lock())
    }

    fn sleep_until(&self, _: Moment) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

async fn trust_ends_even_if_no_task_runs(ctx: Ctx) -> CaseResult {
    let clock = Arc::new(HandClock::default());
    *clock.0.lock() = Duration::from_secs(5);
    let store = ctx.backend().open(ctx.namespace()).await?;
    let client = leasehold_core::Client::builder(store)
        .clock(clock.clone())
        .settings(settings(&ctx))
        .build()?;
    let guard = client.lock("job")?.try_acquire().await?.expect("the lock is free");
    let left = guard.remaining();
    *clock.0.lock() += left - Duration::from_nanos(1);
    assert!(guard.is_held(), "{left:?}");
    *clock.0.lock() += Duration::from_nanos(1);
    // Nothing was awaited since, so no task can have told the guard.
    assert!(!guard.is_held());
    assert_eq!(guard.remaining(), Duration::ZERO);
    Ok(())
}

async fn a_grant_that_arrives_too_late_is_not_used(ctx: Ctx) -> CaseResult {
    let (client, gate) = gated(&ctx).await?;
    gate.delay_grants(ttl(&ctx) * 2);
    let late = client.lock("job")?.try_acquire().await;
    assert!(!matches!(late, Ok(Some(_))), "a guard for a lease that has expired");
    gate.delay_grants(Duration::ZERO);
    let guard = client.lock("job")?.acquire(ttl(&ctx) * 10).await?;
    Ok(guard.release().await?)
}

async fn lost_stays_pending_while_the_lock_is_held(ctx: Ctx) -> CaseResult {
    let client = client(&ctx).await?;
    let guard = client.lock("job")?.acquire(ttl(&ctx)).await?;
    // This is twice as long as the lease would last without heartbeats.
    match tokio::time::timeout(ttl(&ctx) * 2, guard.lost()).await {
        Err(_) => assert!(guard.is_held()),
        Ok(loss) => return Err(Failure::new(format!("lost without a reason: {loss}"))),
    }
    Ok(guard.release().await?)
}

async fn trust_ends_before_another_client_is_granted_the_lock(ctx: Ctx) -> CaseResult {
    let (client, gate) = gated(&ctx).await?;
    let other = super::engine::client(&ctx).await?;
    let guard = client.lock("job")?.acquire(ttl(&ctx)).await?;
    gate.shut();
    let taken = other.lock("job")?.acquire(ttl(&ctx) * 20).await?;
    assert!(!guard.is_held(), "two clients trust their leases at the same time");
    assert_eq!(guard.lost().await, LossReason::Expired);
    assert!(taken.token() > guard.token());
    gate.open();
    Ok(taken.release().await?)
}

async fn a_disabled_lock_is_lost_with_its_reason_and_not_granted_again(ctx: Ctx) -> CaseResult {
    let (client, operator) = (client(&ctx).await?, client(&ctx).await?);
    let guard = client.lock("job")?.acquire(ttl(&ctx)).await?;
    operator.disable("job", "upkeep").await?;
    let loss = guard.lost().await;
    let LossReason::Disabled { reason } = loss else {
        return Err(Failure::new(format!("lost for another reason: {loss}")));
    };
    assert_eq!(reason.as_str(), "upkeep");
    // The lock is never acquired again under the old lease, even on a busy machine.
    guard.release().await?;
    assert!(client.lock("job")?.try_acquire().await?.is_none());
    Ok(())
}
