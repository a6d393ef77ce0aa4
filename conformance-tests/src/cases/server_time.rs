//! Promise `server-time`: no wall clock of a client is used. Replies contain the remaining time, by
//! one clock.

use std::time::{Duration, Instant};

use leasehold_core::LeaseId;
use tokio::time::sleep;

use crate::expect::{extended, granted, held};
use crate::{CLOCK_TOLERANCE, CaseResult, Client, Ctx};

crate::case::cases! {
    ServerTime: [
        time_left_never_exceeds_the_ttl,
        time_left_decreases_as_time_passes,
        all_clients_agree_about_the_time_left,
        the_time_held_is_reported_as_a_duration,
    ],
}

async fn time_left_never_exceeds_the_ttl(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    for (name, ttl) in [("shorter", ctx.in_steps(ctx.long_ttl() / 4)), ("long", ctx.long_ttl())] {
        let (name, lease) = (ctx.name(name), LeaseId::new());
        let mut seen = vec![
            granted(first.acquire(&name, lease, ttl).await?).left,
            held(second.acquire(&name, LeaseId::new(), ttl).await?).left,
            extended(first.renew(&name, lease, ttl).await?),
            granted(first.acquire(&name, lease, ttl).await?).left,
        ];
        seen.extend(second.lease_of(&name).await?.map(|lease| lease.left));
        for left in seen {
            assert!(left <= ttl, "{left:?} left of a lease of {ttl:?}");
            assert!(!left.is_zero(), "a lease with nothing left is not in force");
        }
    }
    Ok(())
}

/// A reading is a remaining time, and the window in which the store read its clock.
struct Reading {
    left: Duration,
    sent_at: Instant,
    answered: Instant,
}

async fn read(client: &Client, name: &leasehold_core::LockName) -> CaseResult<Reading> {
    let sent_at = Instant::now();
    let lease = client.lease_of(name).await?;
    let answered = Instant::now();
    Ok(Reading { left: lease.expect("the lease is in force").left, sent_at, answered })
}

/// Asserts that the second is less than the first by the time between the two decisions.
fn assert_consistent(first: &Reading, second: &Reading, tolerance: Duration) {
    let least = second.sent_at.saturating_duration_since(first.answered);
    let most = second.answered.saturating_duration_since(first.sent_at);
    let range =
        first.left.saturating_sub(most + tolerance)..=first.left.saturating_sub(least) + tolerance;
    assert!(
        range.contains(&second.left),
        "{:?} left, and {least:?} to {most:?} later {:?}",
        first.left,
        second.left
    );
}

async fn time_left_decreases_as_time_passes(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let name = ctx.name("job");
    client.acquire_free(&name, ctx.long_ttl()).await?;
    let tolerance = CLOCK_TOLERANCE + ctx.coarseness();
    let first = read(&client, &name).await?;
    for _ in 0..4 {
        sleep(Duration::from_millis(120)).await;
        assert_consistent(&first, &read(&client, &name).await?, tolerance);
    }
    Ok(())
}

async fn all_clients_agree_about_the_time_left(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(5).await?;
    let tolerance = CLOCK_TOLERANCE + ctx.coarseness();
    for holder in 0..3 {
        let name = ctx.name(&format!("job {holder}"));
        clients[holder].acquire_free(&name, ctx.long_ttl()).await?;
        let first = read(&clients[holder], &name).await?;
        for client in &clients {
            assert_consistent(&first, &read(client, &name).await?, tolerance);
            let sent_at = Instant::now();
            let other = held(client.acquire(&name, LeaseId::new(), ctx.long_ttl()).await?);
            let reading = Reading { left: other.left, sent_at, answered: Instant::now() };
            assert_consistent(&first, &reading, tolerance);
        }
    }
    Ok(())
}

async fn the_time_held_is_reported_as_a_duration(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let name = ctx.name("job");
    let taken = first.acquire_free(&name, ctx.long_ttl()).await?;
    sleep(Duration::from_millis(100)).await;
    extended(first.renew(&name, taken.lease, ctx.long_ttl()).await?);
    let passed = taken.answered.elapsed();
    let lease = second.lease_of(&name).await?.expect("the lease is in force");
    // A calendar clock may be set in the meantime, so the bounds are wide. A renewal restarts
    // nothing.
    let least = passed.saturating_sub(CLOCK_TOLERANCE + ctx.coarseness());
    let most = taken.asked.elapsed() + Duration::from_secs(2);
    assert!((least..=most).contains(&lease.held_for), "held for {:?}", lease.held_for);
    Ok(())
}
