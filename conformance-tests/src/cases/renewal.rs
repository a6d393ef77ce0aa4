//! Promise `renew-only-in-force`: renew extends only an unexpired lease with that id.

use std::time::{Duration, Instant};

use leasehold_core::{LeaseId, RenewOutcome};
use tokio::time::sleep;

use crate::expect::{extended, held};
use crate::{CLOCK_TOLERANCE, CaseResult, Client, Ctx, Failure, HeldLease, Trace, race};

crate::case::cases! {
    RenewOnlyInForce: [
        a_renewal_extends_the_lease_from_now,
        a_renewed_lease_outlives_its_first_ttl,
        an_expired_lease_is_lost,
        an_expired_lease_is_lost_after_a_takeover,
        a_released_lease_is_lost,
        a_never_granted_lease_is_lost_and_creates_no_record,
        a_renewal_with_another_lease_id_is_lost_and_extends_nothing,
        a_lease_of_another_name_is_lost,
        a_renewal_never_overlaps_a_takeover,
    ],
}

async fn a_renewal_extends_the_lease_from_now(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = client.acquire_free(&name, ttl).await?;
    sleep(Duration::from_millis(50)).await;
    let doubled = ctx.in_steps(ttl * 2);
    let sent_at = Instant::now();
    let left = extended(client.renew(&name, taken.lease, doubled).await?);
    let tolerance = CLOCK_TOLERANCE + ctx.coarseness();
    assert!(left <= doubled && left + tolerance >= doubled, "{left:?} of {doubled:?} left");
    let lease = client.lease_of(&name).await?.expect("the lease is in force");
    let least = doubled.saturating_sub(sent_at.elapsed() + CLOCK_TOLERANCE + ctx.coarseness());
    assert_eq!(lease.id, taken.lease);
    assert!((least..=doubled).contains(&lease.left), "{:?} of {doubled:?} left", lease.left);
    Ok(())
}

/// Renews for two ttls, or reports that the machine stalled for too long.
async fn outlives_its_first_ttl(
    ctx: &Ctx,
    taken: &HeldLease,
    clients: &[Client],
) -> CaseResult<bool> {
    let (name, ttl) = (&taken.name, taken.left);
    let mut trusted_until = taken.trusted_until();
    while taken.answered.elapsed() < ttl * 2 {
        sleep(ttl / 6).await;
        let sent_at = Instant::now();
        let outcome = clients[0].renew(name, taken.lease, ctx.in_steps(ttl)).await?;
        if Instant::now() > trusted_until {
            return Ok(false);
        }
        trusted_until = sent_at + extended(outcome);
        let outcome = clients[1].acquire(name, LeaseId::new(), ttl).await?;
        if Instant::now() > trusted_until {
            return Ok(false);
        }
        assert_eq!(held(outcome).token, taken.token);
    }
    Ok(true)
}

async fn a_renewed_lease_outlives_its_first_ttl(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(2).await?;
    for attempt in 0..6 {
        // The lease is longer at each attempt, because the machine stalled for too long.
        let ttl = ctx.in_steps(ctx.short_ttl() * 3 * 2_u32.pow(attempt));
        let taken = clients[0].acquire_free(&ctx.name(&format!("job {attempt}")), ttl).await?;
        if outlives_its_first_ttl(&ctx, &taken, &clients).await? {
            return Ok(());
        }
    }
    Err(Failure::new("this machine stalled for longer than a ttl six times"))
}

async fn an_expired_lease_is_lost(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let name = ctx.name("job");
    let taken = client.acquire_free(&name, ctx.short_ttl()).await?;
    ctx.until_over(&client, &name).await?;
    for _ in 0..2 {
        let outcome = client.renew(&name, taken.lease, ctx.long_ttl()).await?;
        assert_eq!(outcome, RenewOutcome::Lost, "an expired lease is never revived");
        assert_eq!(client.holder_of(&name).await?, None, "an expired lease is in force");
    }
    client.acquire_free(&name, ctx.long_ttl()).await?;
    Ok(())
}

async fn an_expired_lease_is_lost_after_a_takeover(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let old = first.acquire_free(&name, ctx.short_ttl()).await?;
    ctx.until_over(&first, &name).await?;
    let new = second.acquire_free(&name, ttl).await?;
    let outcome = first.renew(&name, old.lease, ttl * 2).await?;
    assert_eq!(outcome, RenewOutcome::Lost);
    let lease = second.lease_of(&name).await?.expect("the next lease is in force");
    assert_eq!(lease.id, new.lease);
    assert!(lease.left <= ttl, "a late renewal extended another's lease to {:?}", lease.left);
    extended(second.renew(&name, new.lease, ttl).await?);
    Ok(())
}

async fn a_released_lease_is_lost(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let old = first.acquire_free(&name, ttl).await?;
    first.release_held(&old).await?;
    // This heartbeat was sent before the lock was released.
    assert_eq!(first.renew(&name, old.lease, ttl).await?, RenewOutcome::Lost);
    assert_eq!(second.holder_of(&name).await?, None, "a late heartbeat resurrects nothing");
    let new = second.acquire_free(&name, ttl).await?;
    assert_eq!(first.renew(&name, old.lease, ttl).await?, RenewOutcome::Lost);
    assert_eq!(second.holder_of(&name).await?, Some(new.lease));
    Ok(())
}

async fn a_never_granted_lease_is_lost_and_creates_no_record(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let name = ctx.name("never used");
    let outcome = client.renew(&name, LeaseId::new(), ctx.long_ttl()).await?;
    assert_eq!(outcome, RenewOutcome::Lost);
    assert_eq!(client.get(&name).await?, None, "a renewal creates no record");
    assert_eq!(client.names("").await?, []);
    client.acquire_free(&name, ctx.long_ttl()).await?;
    Ok(())
}

async fn a_renewal_with_another_lease_id_is_lost_and_extends_nothing(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = first.acquire_free(&name, ttl).await?;
    let outcome = second.renew(&name, LeaseId::new(), ttl * 2).await?;
    assert_eq!(outcome, RenewOutcome::Lost);
    let lease = first.lease_of(&name).await?.expect("the lease is in force");
    assert_eq!((lease.id, &lease.holder), (taken.lease, first.holder()));
    assert!(lease.left <= ttl, "a foreign id extended the lease to {:?}", lease.left);
    Ok(())
}

async fn a_lease_of_another_name_is_lost(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (held, free, ttl) = (ctx.name("held"), ctx.name("free"), ctx.long_ttl());
    let taken = client.acquire_free(&held, ttl).await?;
    let outcome = client.renew(&free, taken.lease, ttl * 2).await?;
    assert_eq!(outcome, RenewOutcome::Lost);
    assert_eq!(client.get(&free).await?, None);
    let lease = client.lease_of(&held).await?.expect("the lease is in force");
    assert!(lease.left <= ttl, "extended through another name to {:?}", lease.left);
    Ok(())
}

async fn a_renewal_never_overlaps_a_takeover(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(4).await?;
    let ttl = ctx.short_ttl();
    for round in 0..6 {
        let name = ctx.name(&format!("job {round}"));
        let old = clients[0].acquire_free(&name, ttl).await?;
        // The pause ends shortly before or shortly after the end of the lease.
        let pause = ttl.saturating_sub(Duration::from_millis(10 * round));
        let outcomes = race((0..32).map(|contender| {
            let (client, name, old) = (clients[contender % 4].clone(), name.clone(), old.clone());
            async move {
                sleep(pause.saturating_sub(old.answered.elapsed())).await;
                sleep(Duration::from_millis(fastrand::u64(0..20))).await;
                if contender % 2 == 0 {
                    return Ok((None, client.try_acquire(&name, ttl).await?.ok()));
                }
                let sent_at = Instant::now();
                let outcome = client.renew(&name, old.lease, ttl).await?;
                Ok((
                    match outcome {
                        RenewOutcome::Extended { left, .. } => Some(sent_at + left),
                        _ => None,
                    },
                    None,
                ))
            }
        }))
        .await?;
        let renewed_until = outcomes.iter().filter_map(|(until, _)| *until).max();
        let takers: Vec<&HeldLease> =
            outcomes.iter().filter_map(|(_, taken)| taken.as_ref()).collect();
        // Tokens give the store's order, because answers may arrive in another order.
        let first = takers.iter().min_by_key(|taken| taken.token);
        // If 32 calls take longer than the ttl, a second takeover may follow the end of the first.
        let trace = Trace::new();
        takers.iter().for_each(|taken| trace.note_until_expiry(taken));
        trace.assert_exclusive();
        if let (Some(until), Some(taken)) = (renewed_until, first) {
            let early = until.saturating_duration_since(taken.answered);
            assert!(
                early <= CLOCK_TOLERANCE,
                "round {round}: taken over {early:?} before the renewed lease ended"
            );
        }
    }
    Ok(())
}
