//! Promise `exclusion`: by the store's own clock, at most one unexpired lease per name exists at
//! any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use leasehold_core::{AcquireOutcome, LeaseId};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::expect::{granted, held, refused};
use crate::{CLOCK_TOLERANCE, CaseResult, Ctx, Trace, race};

crate::case::cases! {
    Exclusion: [
        a_refused_acquire_reports_the_holder_and_the_time_left,
        a_name_is_refused_although_this_client_has_released_it,
        one_of_32_contenders_is_granted,
        holders_among_32_contenders_never_overlap,
        a_lease_lasts_as_long_as_the_store_reported,
        one_of_32_contenders_takes_over_an_expired_lease,
        expiring_leases_never_overlap,
    ],
}

const CONTENDERS: usize = 32;
const CLIENTS: usize = 4;

async fn a_refused_acquire_reports_the_holder_and_the_time_left(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let name = ctx.name("job");
    let ttl = ctx.long_ttl();
    let taken = first.acquire_free(&name, ttl).await?;
    for client in [&second, &first] {
        // Another attempt of the same holder is refused too.
        let other = held(client.acquire(&name, LeaseId::new(), ttl).await?);
        assert_eq!(&other.holder, first.holder());
        assert_eq!(other.token, taken.token);
        assert!(other.left <= ttl && !other.left.is_zero(), "{:?} of {ttl:?} left", other.left);
    }
    first.release_held(&taken).await?;
    second.acquire_free(&name, ttl).await?;
    Ok(())
}

/// A store may assume that a name that it has released is free.
async fn a_name_is_refused_although_this_client_has_released_it(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    first.release_held(&first.acquire_free(&name, ttl).await?).await?;
    let taken = second.acquire_free(&name, ttl).await?;
    assert_eq!(held(first.acquire(&name, LeaseId::new(), ttl).await?).token, taken.token);
    second.release_held(&taken).await?;
    let last = first.acquire_free(&name, ttl).await?;
    first.release_held(&last).await?;
    second.disable(&name, "upkeep").await?;
    refused(first.acquire(&name, LeaseId::new(), ttl).await?);
    second.enable(&name).await?;
    let lease = LeaseId::new();
    let grant = granted(first.acquire(&name, lease, ttl).await?);
    assert!(grant.token > last.token, "{} after {}", grant.token, last.token);
    let again = granted(first.acquire(&name, lease, ttl).await?);
    assert_eq!(again.token, grant.token, "the same attempt is granted the same");
    Ok(())
}

async fn one_of_32_contenders_is_granted(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(CLIENTS).await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let mut last = None;
    for round in 0..20 {
        let outcomes = race((0..CONTENDERS).map(|contender| {
            let (client, name) = (clients[contender % CLIENTS].clone(), name.clone());
            async move { Ok(client.try_acquire(&name, ttl).await?) }
        }))
        .await?;
        let (winners, losers): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        let winners: Vec<_> = winners.into_iter().flatten().collect();
        assert_eq!(
            winners.len(),
            1,
            "round {round}: {} clients were granted the name",
            winners.len()
        );
        let winner = &winners[0];
        for loser in losers.into_iter().filter_map(Result::err) {
            assert_eq!(held(loser).token, winner.token, "round {round}: losers see the winner");
        }
        assert!(Some(winner.token) > last, "round {round}: {} after {last:?}", winner.token);
        last = Some(winner.token);
        clients[0].release_held(winner).await?;
    }
    Ok(())
}

async fn holders_among_32_contenders_never_overlap(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(CLIENTS).await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let inside = Arc::new(AtomicBool::new(false));
    let sections = Arc::new(AtomicU64::new(0));
    let trace = Trace::new();
    let rounds = 4;
    race((0..CONTENDERS).map(|contender| {
        let (client, name) = (clients[contender % CLIENTS].clone(), name.clone());
        let (inside, sections) = (Arc::clone(&inside), Arc::clone(&sections));
        let trace = trace.clone();
        async move {
            for _ in 0..rounds {
                let taken = client.acquire_when_free(&name, ttl).await?;
                assert!(!inside.swap(true, Ordering::SeqCst), "two clients hold the name");
                let seen = sections.load(Ordering::SeqCst);
                yield_now().await;
                // This writes what was read before, so an overlap would lose an increment.
                sections.store(seen + 1, Ordering::SeqCst);
                assert!(inside.swap(false, Ordering::SeqCst), "two held the name at once");
                trace.note_until(&taken, Instant::now());
                client.release_held(&taken).await?;
            }
            Ok(())
        }
    }))
    .await?;
    assert_eq!(sections.load(Ordering::SeqCst), CONTENDERS as u64 * rounds);
    trace.assert_exclusive();
    Ok(())
}

async fn a_lease_lasts_as_long_as_the_store_reported(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.short_ttl());
    for _ in 0..3 {
        let taken = first.acquire_when_free(&name, ttl).await?;
        let next = second.acquire_when_free(&name, ttl).await?;
        let early = taken.trusted_until().saturating_duration_since(next.answered);
        assert!(early <= CLOCK_TOLERANCE, "a lease began {early:?} before the previous one ended");
        assert!(next.token > taken.token);
    }
    Ok(())
}

async fn one_of_32_contenders_takes_over_an_expired_lease(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(CLIENTS).await?;
    let long = ctx.long_ttl();
    for round in 0..4 {
        let name = ctx.name(&format!("job {round}"));
        let old = clients[0].acquire_free(&name, ctx.short_ttl()).await?;
        let grants = race((0..CONTENDERS).map(|contender| {
            let (client, name) = (clients[contender % CLIENTS].clone(), name.clone());
            let old = old.token;
            async move {
                loop {
                    match client.try_acquire(&name, long).await? {
                        Ok(taken) => return Ok(Some(taken)),
                        Err(AcquireOutcome::Held(other)) if other.token == old => {}
                        Err(outcome) => {
                            assert!(held(outcome).token > old, "an older lease is in force");
                            return Ok(None);
                        }
                    }
                    sleep(Duration::from_millis(fastrand::u64(1..15))).await;
                }
            }
        }))
        .await?;
        let grants: Vec<_> = grants.into_iter().flatten().collect();
        assert_eq!(grants.len(), 1, "round {round}: {} took the name over", grants.len());
        assert!(grants[0].token > old.token);
        let early = old.trusted_until().saturating_duration_since(grants[0].answered);
        assert!(early <= CLOCK_TOLERANCE, "round {round}: taken over {early:?} too early");
    }
    Ok(())
}

async fn expiring_leases_never_overlap(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(CLIENTS).await?;
    let (name, ttl) = (ctx.name("job"), ctx.short_ttl());
    let trace = Trace::new();
    race((0..CONTENDERS).map(|contender| {
        let (client, name) = (clients[contender % CLIENTS].clone(), name.clone());
        let trace = trace.clone();
        async move {
            while trace.count() < 6 {
                if let Ok(taken) = client.try_acquire(&name, ttl).await? {
                    trace.note_until_expiry(&taken);
                }
                sleep(Duration::from_millis(fastrand::u64(1..15))).await;
            }
            Ok(())
        }
    }))
    .await?;
    trace.assert_exclusive();
    Ok(())
}
