//! Engine promise 5: many locks, few beats, one watch.

use std::time::Duration;

use super::engine::{campaign, gated, settings};
use crate::ledger::{Conduct, Ledger};
use crate::{CaseResult, Ctx};

crate::case::cases![leases_share_their_heartbeats, elections_share_one_watch];

async fn leases_share_their_heartbeats(ctx: Ctx) -> CaseResult {
    const LOCKS: u64 = 300;
    let (client, gate) = gated(&ctx).await?;
    let ttl = ctx.in_steps(Duration::from_secs(10));
    let settings = settings(&ctx).ttl(ttl);
    let mut guards = Vec::new();
    for number in 0..LOCKS {
        let lock = client.lock(format!("job {number}"))?.settings(&settings)?;
        guards.push(lock.acquire(ttl).await?);
    }
    // Once everything was renewed together, it stays together.
    tokio::time::sleep(ttl / 2).await;
    let (calls_before, renewals_before) = gate.renewals();
    tokio::time::sleep(ttl).await;
    let (calls, renewals) = gate.renewals();
    let (calls, renewals) = (calls - calls_before, renewals - renewals_before);
    assert!(renewals >= LOCKS, "{renewals} renewals of {LOCKS} locks within a ttl");
    assert!(calls * 20 <= renewals, "{calls} calls for {renewals} renewals");
    for guard in guards {
        assert!(guard.is_held(), "{:?}", guard.name());
        guard.release().await?;
    }
    Ok(())
}

async fn elections_share_one_watch(ctx: Ctx) -> CaseResult {
    let (client, gate) = gated(&ctx).await?;
    let ledger = Ledger::default();
    let mut handles = Vec::new();
    for number in 0..20 {
        let election = client.election(format!("job {number}"))?;
        handles.push(campaign(election, &ledger, number, Conduct::Works(Duration::ZERO)));
    }
    ledger.wait_for_terms(20).await;
    // It may come after all grants.
    while gate.watches() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(ctx.hint_window()).await;
    assert_eq!(gate.watches(), 1);
    for handle in handles {
        handle.shutdown().await;
    }
    Ok(())
}
