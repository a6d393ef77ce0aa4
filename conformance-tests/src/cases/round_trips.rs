//! Promise `one-round-trip`: an uncontended call takes one round trip.

use leasehold_core::{ReleaseOutcome, RenewOptions};

use crate::expect::extended;
use crate::{CaseResult, Client, Ctx, Failure, RoundTrips};

crate::case::cases! {
    OneRoundTrip: [
        an_uncontended_acquire_stays_within_its_budget[RoundTrips],
        a_renewal_stays_within_its_budget[RoundTrips],
        a_release_takes_one_round_trip[RoundTrips],
        round_trips_of_a_batch_do_not_grow_with_its_size[RoundTrips],
    ],
}

/// A batch may take this many round trips: that of one call, and another one for data that does not
/// fit.
const BATCH_BUDGET: u64 = 2;

/// Each call is measured this many times, and the minimum counts. A pool may do maintenance in
/// between, and a busy machine may split one message into several.
const TRIES: usize = 20;

/// Returns a counted client whose connections are open and whose statements are prepared.
async fn warm<'a>(ctx: &'a Ctx, probe: &'a dyn RoundTrips) -> CaseResult<Client> {
    let client = Client::new(probe.open_counted(ctx.namespace()).await?);
    for number in 0..3 {
        let taken =
            client.acquire_free(&ctx.name(&format!("warm {number}")), ctx.long_ttl()).await?;
        extended(client.renew(&taken.name, taken.lease, ctx.long_ttl()).await?);
        client.release_held(&taken).await?;
    }
    Ok(client)
}

fn no_probe() -> Failure {
    Failure::new("the backend lacks this probe")
}

/// Measures acquire, renew and release until all are within their budgets, and returns the minimum
/// number of round trips of each.
async fn least(ctx: &Ctx) -> CaseResult<[u64; 3]> {
    let probes = ctx.backend().probes();
    let probe = probes.round_trips.ok_or_else(no_probe)?;
    let client = warm(ctx, probe).await?;
    let ttl = ctx.long_ttl();
    let budgets = [probe.acquire_budget(), probe.renew_budget(), 1];
    let mut least = [u64::MAX; 3];
    for number in 0..TRIES {
        let name = ctx.name(&format!("job {number}"));
        let mut counts = vec![probe.counted(ctx.namespace()).await?];
        let taken = client.acquire_free(&name, ttl).await?;
        counts.push(probe.counted(ctx.namespace()).await?);
        extended(client.renew(&name, taken.lease, ttl).await?);
        counts.push(probe.counted(ctx.namespace()).await?);
        assert_eq!(client.release(&name, taken.lease).await?, ReleaseOutcome::Released);
        counts.push(probe.counted(ctx.namespace()).await?);
        for (least, pair) in least.iter_mut().zip(counts.windows(2)) {
            // A server may count late, so that one call seems to take no round trip and the next
            // one takes both.
            let count = Some(pair[1] - pair[0]).filter(|count| *count > 0);
            *least = (*least).min(count.unwrap_or(u64::MAX));
        }
        if number >= 4 && least.iter().zip(budgets).all(|(least, budget)| *least <= budget) {
            break;
        }
    }
    assert!(least.iter().all(|count| *count < u64::MAX), "the probe counts nothing: {least:?}");
    Ok(least)
}

async fn an_uncontended_acquire_stays_within_its_budget(ctx: Ctx) -> CaseResult {
    let probes = ctx.backend().probes();
    let budget = probes.round_trips.ok_or_else(no_probe)?.acquire_budget();
    assert!((1..=2).contains(&budget), "a budget of {budget} is not allowed");
    let [acquire, _, _] = least(&ctx).await?;
    assert!(acquire <= budget, "an acquire took {acquire} round trips, its budget is {budget}");
    Ok(())
}

async fn a_renewal_stays_within_its_budget(ctx: Ctx) -> CaseResult {
    let probes = ctx.backend().probes();
    let budget = probes.round_trips.ok_or_else(no_probe)?.renew_budget();
    assert!((1..=2).contains(&budget), "a budget of {budget} is not allowed");
    let [_, renew, _] = least(&ctx).await?;
    assert!(renew <= budget, "a renewal took {renew} round trips, its budget is {budget}");
    Ok(())
}

async fn a_release_takes_one_round_trip(ctx: Ctx) -> CaseResult {
    let [_, _, release] = least(&ctx).await?;
    assert_eq!(release, 1);
    Ok(())
}

async fn round_trips_of_a_batch_do_not_grow_with_its_size(ctx: Ctx) -> CaseResult {
    let probes = ctx.backend().probes();
    let probe = probes.round_trips.ok_or_else(no_probe)?;
    let client = warm(&ctx, probe).await?;
    let ttl = ctx.long_ttl();
    let mut batch = Vec::new();
    for number in 0..ctx.capabilities().renew_batch.min(300) {
        let taken = client.acquire_free(&ctx.name(&format!("job {number}")), ttl).await?;
        batch.push(RenewOptions::new(taken.name, taken.lease, ttl));
    }
    let mut least = u64::MAX;
    for number in 0..TRIES {
        if number >= 5 && least <= BATCH_BUDGET {
            break;
        }
        let before = probe.counted(ctx.namespace()).await?;
        client.store().renew(&batch).await?.into_iter().for_each(|o| _ = extended(o));
        least = least.min(probe.counted(ctx.namespace()).await? - before);
    }
    let count = batch.len();
    assert!(least <= BATCH_BUDGET, "renewing {count} leases took {least} round trips");
    Ok(())
}
