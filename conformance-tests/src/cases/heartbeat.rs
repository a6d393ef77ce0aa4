//! Promise `shared-heartbeats`: many locks need few heartbeats and one watch.

use std::time::Duration;

use super::engine::{campaign, gated, settings};
use crate::job_log::{JobBehaviour, JobLog};
use crate::{CaseResult, Ctx};

crate::case::cases! {
    SharedHeartbeats: [
        leases_share_their_heartbeats,
        elections_share_one_watch,
    ],
}

async fn leases_share_their_heartbeats(ctx: Ctx) -> CaseResult {
    const LOCKS: u64 = 300;
    let (client, gate) = gated(&ctx).await?;
    // The leases are long enough for late heartbeats.
    let ttl = ctx.long_ttl();
    let settings = settings(&ctx).ttl(ttl).heartbeat_interval(Duration::from_secs(2));
    let renewed = async |count: u64| {
        let before = gate.renewals();
        while gate.renewals().1 < before.1 + count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        (gate.renewals().0 - before.0, gate.renewals().1 - before.1)
    };
    let mut guards = Vec::new();
    for number in 0..LOCKS {
        let lock = client.lock(format!("job {number}"))?.settings(&settings)?;
        guards.push(lock.acquire(ttl).await?);
    }
    // After all leases were renewed in one batch, they stay in one batch.
    renewed(LOCKS * 3).await;
    let (calls, renewals) = renewed(LOCKS * 3).await;
    assert!(calls * 20 <= renewals, "{calls} calls for {renewals} renewals");
    for guard in guards {
        assert!(guard.is_held(), "{:?}", guard.name());
        guard.release().await?;
    }
    Ok(())
}

async fn elections_share_one_watch(ctx: Ctx) -> CaseResult {
    let (client, gate) = gated(&ctx).await?;
    let log = JobLog::default();
    let mut handles = Vec::new();
    for number in 0..20 {
        let election = client.election(format!("job {number}"))?;
        handles.push(campaign(election, &log, number, JobBehaviour::Works(Duration::ZERO)));
    }
    log.wait_for_terms(20).await;
    // The watch may open after all grants.
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
