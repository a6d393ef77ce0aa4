//! Promise `release-only-own`: release affects only the lease with its own id.

use leasehold_core::{LeaseId, ReleaseOutcome};

use crate::expect::{extended, held};
use crate::{CaseResult, Ctx, race};

crate::case::cases! {
    ReleaseOnlyOwn: [
        a_released_name_is_free_at_once,
        a_release_with_another_lease_id_releases_nothing,
        a_late_release_does_not_end_the_next_lease,
        a_second_release_has_no_effect,
        a_release_of_an_expired_lease_reports_not_held,
        a_release_of_a_never_used_name_creates_no_record,
        a_release_affects_only_its_own_name,
        one_of_16_concurrent_releases_takes_effect,
    ],
}

async fn a_released_name_is_free_at_once(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    for (client, other) in [(&first, &second), (&second, &first)] {
        let taken = client.acquire_free(&name, ttl).await?;
        client.release_held(&taken).await?;
        assert_eq!(other.holder_of(&name).await?, None);
        let next = other.acquire_free(&name, ttl).await?;
        // The lease id is sufficient to release the lease, from any client.
        client.release_held(&next).await?;
    }
    Ok(())
}

async fn a_release_with_another_lease_id_releases_nothing(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = first.acquire_free(&name, ttl).await?;
    assert_eq!(second.release(&name, LeaseId::new()).await?, ReleaseOutcome::NotHeld);
    assert_eq!(first.holder_of(&name).await?, Some(taken.lease), "it is still in force");
    held(second.acquire(&name, LeaseId::new(), ttl).await?);
    extended(first.renew(&name, taken.lease, ttl).await?);
    Ok(())
}

async fn a_late_release_does_not_end_the_next_lease(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let old = first.acquire_free(&name, ctx.short_ttl()).await?;
    ctx.until_over(&first, &name).await?;
    let new = second.acquire_free(&name, ttl).await?;
    assert_eq!(first.release(&name, old.lease).await?, ReleaseOutcome::NotHeld);
    assert_eq!(second.holder_of(&name).await?, Some(new.lease));
    Ok(())
}

async fn a_second_release_has_no_effect(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let old = first.acquire_free(&name, ttl).await?;
    first.release_held(&old).await?;
    assert_eq!(first.release(&name, old.lease).await?, ReleaseOutcome::NotHeld);
    let new = second.acquire_free(&name, ttl).await?;
    assert_eq!(first.release(&name, old.lease).await?, ReleaseOutcome::NotHeld);
    assert_eq!(second.holder_of(&name).await?, Some(new.lease));
    Ok(())
}

async fn a_release_of_an_expired_lease_reports_not_held(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let name = ctx.name("job");
    let taken = client.acquire_free(&name, ctx.short_ttl()).await?;
    ctx.until_over(&client, &name).await?;
    assert_eq!(client.release(&name, taken.lease).await?, ReleaseOutcome::NotHeld);
    Ok(())
}

async fn a_release_of_a_never_used_name_creates_no_record(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let name = ctx.name("never used");
    assert_eq!(client.release(&name, LeaseId::new()).await?, ReleaseOutcome::NotHeld);
    assert_eq!(client.get(&name).await?, None);
    Ok(())
}

async fn a_release_affects_only_its_own_name(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (one, other, ttl) = (ctx.name("one"), ctx.name("other"), ctx.long_ttl());
    // The same id is used for two names, which no application does. The name and the id decide
    // together.
    let lease = LeaseId::new();
    client.acquire(&one, lease, ttl).await?;
    client.acquire(&other, lease, ttl).await?;
    assert_eq!(client.release(&one, lease).await?, ReleaseOutcome::Released);
    assert_eq!(client.holder_of(&other).await?, Some(lease));
    Ok(())
}

async fn one_of_16_concurrent_releases_takes_effect(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(4).await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    for round in 0..8 {
        let taken = clients[0].acquire_free(&name, ttl).await?;
        let outcomes = race((0..16).map(|copy| {
            let (client, name) = (clients[copy % 4].clone(), name.clone());
            async move { Ok(client.release(&name, taken.lease).await?) }
        }))
        .await?;
        let released = outcomes.iter().filter(|o| **o == ReleaseOutcome::Released).count();
        assert_eq!(released, 1, "round {round}");
    }
    Ok(())
}
