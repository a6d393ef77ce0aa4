//! Invalid input is refused and nothing is written. Extreme valid input is accepted.

use std::time::{Duration, Instant};

use leasehold_core::{ErrorKind, LeaseId, LockStoreExt, MAX_TTL};

use crate::expect::granted;
use crate::{CaseResult, Ctx};

crate::case::cases! {
    CheckedInput: [
        an_out_of_range_ttl_is_refused,
        a_renewal_with_an_out_of_range_ttl_extends_nothing,
        the_shortest_and_the_longest_ttl_are_granted,
        a_ttl_between_two_steps_is_rounded_up,
        capabilities_are_valid_and_equal_for_all_clients,
    ],
}

fn impossible_ttls(ctx: &Ctx) -> Vec<Duration> {
    let mut ttls = vec![
        Duration::ZERO,
        Duration::from_nanos(1),
        MAX_TTL + Duration::from_nanos(1),
        MAX_TTL * 400_000,
        Duration::from_secs(i64::MAX as u64),
        Duration::MAX,
    ];
    ttls.push(ctx.capabilities().min_ttl.saturating_sub(Duration::from_nanos(1)));
    ttls.retain(|ttl| *ttl < ctx.capabilities().min_ttl || *ttl > MAX_TTL);
    ttls
}

async fn an_out_of_range_ttl_is_refused(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let name = ctx.name("job");
    for ttl in impossible_ttls(&ctx) {
        let options = client.options(LeaseId::new(), ttl);
        let error = client.store().acquire(&name, &options).await.expect_err("it is impossible");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{ttl:?}: {error}");
        assert_eq!(client.get(&name).await?, None, "{ttl:?} was refused, but something written");
    }
    let taken = client.acquire_free(&name, ctx.long_ttl()).await?;
    for ttl in impossible_ttls(&ctx) {
        // A retry with an invalid ttl is refused too.
        let options = client.options(taken.lease, ttl);
        let error = client.store().acquire(&name, &options).await.expect_err("it is impossible");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{ttl:?}: {error}");
    }
    client.release_held(&taken).await
}

async fn a_renewal_with_an_out_of_range_ttl_extends_nothing(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = client.acquire_free(&name, ttl).await?;
    for impossible in impossible_ttls(&ctx) {
        let result = client.store().renew_one(&name, taken.lease, impossible).await;
        let error = result.expect_err("it is impossible");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{impossible:?}: {error}");
        let lease = client.lease_of(&name).await?.expect("the lease is in force");
        assert!(lease.left <= ttl, "{impossible:?} was refused, but extended");
    }
    client.release_held(&taken).await
}

async fn the_shortest_and_the_longest_ttl_are_granted(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let shortest = client.acquire_free(&ctx.name("short"), ctx.capabilities().min_ttl).await?;
    assert!(shortest.left <= ctx.in_steps(ctx.capabilities().min_ttl));
    let longest = client.acquire_free(&ctx.name("long"), MAX_TTL).await?;
    assert!(longest.left <= MAX_TTL && longest.left + Duration::from_secs(60) > MAX_TTL);
    let lease = client.lease_of(&longest.name).await?.expect("the lease is in force");
    assert!(lease.left <= MAX_TTL && lease.left + Duration::from_secs(60) > MAX_TTL);
    ctx.until_over(&client, &shortest.name).await?;
    Ok(())
}

async fn a_ttl_between_two_steps_is_rounded_up(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let uneven = ctx.long_ttl() + Duration::new(1, 123_456_789);
    let sent_at = Instant::now();
    let grant = granted(client.acquire(&ctx.name("job"), LeaseId::new(), uneven).await?);
    // Less time is left if the answer was lost and the request was repeated.
    let passed = sent_at.elapsed() + Duration::from_millis(1);
    let step = ctx.capabilities().ttl_step;
    assert!(
        grant.left <= uneven + step && grant.left + passed >= uneven,
        "{:?} granted of {uneven:?}, in steps of {step:?}",
        grant.left
    );
    Ok(())
}

async fn capabilities_are_valid_and_equal_for_all_clients(ctx: Ctx) -> CaseResult {
    for client in ctx.open_many(3).await? {
        let capabilities = client.store().capabilities();
        assert_eq!(capabilities, ctx.capabilities());
        assert!(!capabilities.min_ttl.is_zero() && capabilities.min_ttl <= MAX_TTL);
        assert!(!capabilities.ttl_step.is_zero() && capabilities.ttl_step <= capabilities.min_ttl);
        assert!(capabilities.renew_batch > 0);
        assert!(!client.store().label().is_empty());
    }
    Ok(())
}
