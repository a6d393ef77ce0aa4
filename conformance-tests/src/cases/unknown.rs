//! Promise `unknown-is-not-failed`: a write without a reply has an unknown outcome. It has not
//! failed, and can be retried.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{
    DisableOptions, EnableOutcome, ErrorKind, LeaseId, LockName, LockStore, LockStoreExt, Reason,
    ReleaseOutcome,
};
use tokio::time::timeout;

use crate::expect::{already_disabled, extended, granted};
use crate::{CaseResult, Client, Ctx, Failure, Link, LossyStore, spawn};

crate::case::cases! {
    UnknownIsNotFailed: [
        retry_after_lost_reply_returns_the_grant,
        retry_after_lost_reply_renews_the_lease,
        retry_after_lost_reply_reports_the_lease_as_released,
        retry_after_lost_reply_reports_disable_and_enable_as_done,
        an_acquire_without_a_reply_has_an_unknown_outcome[Outages],
        a_release_without_a_reply_has_an_unknown_outcome[Outages],
        a_disconnected_client_reports_a_write_as_unknown_or_not_done[Outages],
        a_write_that_arrived_is_unknown_although_its_retry_failed[Outages],
    ],
}

/// Returns a client whose next replies can be lost.
async fn lossy(ctx: &Ctx) -> CaseResult<(Arc<LossyStore>, Client)> {
    let client = ctx.open().await?;
    Ok((Arc::new(LossyStore::new(Arc::clone(client.store()))), client))
}

async fn retry_after_lost_reply_returns_the_grant(ctx: Ctx) -> CaseResult {
    let (lossy, client) = lossy(&ctx).await?;
    let (name, lease) = (ctx.name("job"), LeaseId::new());
    let options = client.options(lease, ctx.long_ttl());
    lossy.lose(2);
    for _ in 0..2 {
        assert!(lossy.acquire(&name, &options).await.unwrap_err().is_outcome_unknown());
    }
    let record = client.get(&name).await?.expect("the name was granted");
    assert_eq!(record.lease.map(|lease| lease.id), Some(lease));
    let grant = granted(lossy.acquire(&name, &options).await?);
    assert_eq!(Some(grant.token), record.token, "the retry is told of the first grant");
    Ok(())
}

async fn retry_after_lost_reply_renews_the_lease(ctx: Ctx) -> CaseResult {
    let (lossy, client) = lossy(&ctx).await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = client.acquire_free(&name, ttl).await?;
    lossy.lose(1);
    assert!(lossy.renew_one(&name, taken.lease, ttl).await.unwrap_err().is_outcome_unknown());
    extended(lossy.renew_one(&name, taken.lease, ttl).await?);
    Ok(())
}

async fn retry_after_lost_reply_reports_the_lease_as_released(ctx: Ctx) -> CaseResult {
    let (lossy, client) = lossy(&ctx).await?;
    let name = ctx.name("job");
    let taken = client.acquire_free(&name, ctx.long_ttl()).await?;
    lossy.lose(1);
    assert!(lossy.release(&name, taken.lease).await.unwrap_err().is_outcome_unknown());
    assert_eq!(lossy.release(&name, taken.lease).await?, ReleaseOutcome::NotHeld);
    client.acquire_free(&name, ctx.long_ttl()).await?;
    Ok(())
}

async fn retry_after_lost_reply_reports_disable_and_enable_as_done(ctx: Ctx) -> CaseResult {
    let (lossy, _) = lossy(&ctx).await?;
    let name = ctx.name("job");
    let options = DisableOptions::new(Reason::new("upkeep")?).with_by("ops".to_owned());
    lossy.lose(1);
    assert!(lossy.disable(&name, &options).await.unwrap_err().is_outcome_unknown());
    let disablement = already_disabled(lossy.disable(&name, &options).await?);
    assert_eq!((disablement.reason, disablement.by), (options.reason, options.by));
    lossy.lose(1);
    assert!(lossy.enable(&name).await.unwrap_err().is_outcome_unknown());
    assert_eq!(lossy.enable(&name).await?, EnableOutcome::AlreadyEnabled);
    Ok(())
}

/// This is longer than any store waits for a server by itself.
pub(super) const LIMIT: Duration = Duration::from_secs(100);

/// A write has this long to arrive.
const ARRIVAL: Duration = Duration::from_secs(3);

/// Returns a client whose link can be cut.
pub(super) async fn over_link(ctx: &Ctx) -> CaseResult<(Arc<dyn Link>, Client)> {
    let probes = ctx.backend().probes();
    let probe = probes.outages.ok_or_else(|| Failure::new("the backend lacks this probe"))?;
    let link = probe.open_over_link(ctx.namespace()).await?;
    let client = Client::new(link.store());
    Ok((link, client))
}

/// Returns whether an acquire may need the reply to a first request before it sends the request
/// that decides.
fn in_two_steps(ctx: &Ctx) -> bool {
    ctx.backend().probes().round_trips.is_some_and(|probe| probe.acquire_budget() > 1)
}

async fn a_release_without_a_reply_has_an_unknown_outcome(ctx: Ctx) -> CaseResult {
    let direct = ctx.open().await?;
    let (link, far) = over_link(&ctx).await?;
    // The client has open connections and prepared statements.
    far.release_held(&far.acquire_free(&ctx.name("first"), ctx.long_ttl()).await?).await?;
    let taken = far.acquire_free(&ctx.name("job"), ctx.long_ttl()).await?;
    // A pool may still test a connection that was returned.
    tokio::time::sleep(Duration::from_millis(300)).await;
    link.swallow_replies().await;
    let error = timeout(LIMIT, far.store().release(&taken.name, taken.lease))
        .await
        .map_err(|_| Failure::new("a call without a reply never ends"))?
        .expect_err("no reply came");
    link.restore().await;
    let held = direct.holder_of(&taken.name).await?.is_some();
    match error.kind() {
        ErrorKind::OutcomeUnknown => {}
        // The store reports that it had no connection for the request, so nothing was written.
        ErrorKind::Unavailable => assert!(held, "{error}"),
        kind => panic!("a withheld reply is reported as {kind:?}: {error}"),
    }
    let (held, repeated) = loop {
        let held = direct.holder_of(&taken.name).await?.is_some();
        match far.release(&taken.name, taken.lease).await {
            // The client may notice only now that the connection that lost the reply is dead.
            Err(error) if error.is_outcome_unknown() => {}
            repeated => break (held, repeated?),
        }
    };
    assert_eq!(repeated == ReleaseOutcome::Released, held);
    Ok(())
}

async fn an_acquire_without_a_reply_has_an_unknown_outcome(ctx: Ctx) -> CaseResult {
    for attempt in 0..5 {
        // On a busy machine the client may find no connection for its request. It then knows the
        // outcome.
        if withheld(&ctx, &ctx.name(&format!("job {attempt}"))).await? {
            return Ok(());
        }
    }
    Err(Failure::new("the client never sends a request on the connection that it has"))
}

/// Returns whether the withheld reply belongs to a request that could grant the name.
async fn withheld(ctx: &Ctx, name: &LockName) -> CaseResult<bool> {
    let direct = ctx.open().await?;
    let (link, far) = over_link(ctx).await?;
    let ttl = ctx.long_ttl();
    far.release_held(&far.acquire_free(&ctx.name("first"), ttl).await?).await?;
    // A pool may still test a connection that was returned.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let lease = LeaseId::new();
    link.swallow_replies().await;
    let acquired = timeout(LIMIT, far.store().acquire(name, &far.options(lease, ttl))).await;
    link.restore().await;
    let never = |_| Failure::new("a call without a reply never ends");
    let error = acquired.map_err(never)?.expect_err("no reply came");
    let record = direct.get(name).await?;
    if error.is_unavailable() && (in_two_steps(ctx) || record.is_none()) {
        // The second request waits for the reply to the first one, which grants nothing.
        assert_eq!(record, None, "{error}");
        granted(far.acquire(name, lease, ttl).await?);
        return Ok(in_two_steps(ctx));
    }
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    // The write took effect, and the retry returns it.
    let record = record.expect("the request got through");
    assert_eq!(record.lease.map(|lease| lease.id), Some(lease));
    assert_eq!(Some(granted(far.acquire(name, lease, ttl).await?).token), record.token);
    Ok(true)
}

async fn a_disconnected_client_reports_a_write_as_unknown_or_not_done(ctx: Ctx) -> CaseResult {
    let direct = ctx.open().await?;
    let (link, far) = over_link(&ctx).await?;
    let ttl = ctx.long_ttl();
    far.release_held(&far.acquire_free(&ctx.name("first"), ttl).await?).await?;
    link.cut().await;
    let mut tried = Vec::new();
    for attempt in 0..4 {
        let (name, lease) = (ctx.name(&format!("job {attempt}")), LeaseId::new());
        let error = timeout(LIMIT, far.store().acquire(&name, &far.options(lease, ttl)))
            .await
            .map_err(|_| Failure::new("a call of a cut-off client never ends"))?
            .expect_err("the client is cut off");
        tried.push((name, lease, error));
    }
    link.restore().await;
    for (name, lease, error) in tried {
        match error.kind() {
            // The store reports that nothing was written.
            ErrorKind::Unavailable => assert_eq!(direct.get(&name).await?, None, "{error}"),
            ErrorKind::OutcomeUnknown => {}
            kind => panic!("a cut-off client reports {kind:?}: {error}"),
        }
        // The same client recovers on its own.
        granted(far.acquire(&name, lease, ttl).await?);
    }
    Ok(())
}

/// The write arrives, its connection breaks before the reply, and no other connection can be
/// opened: a store that repeats the write itself must not report that nothing was written.
async fn a_write_that_arrived_is_unknown_although_its_retry_failed(ctx: Ctx) -> CaseResult {
    let direct = ctx.open().await?;
    let (link, far) = over_link(&ctx).await?;
    let ttl = ctx.long_ttl();
    for round in 0..3 {
        far.release_held(&far.acquire_free(&ctx.name("first"), ttl).await?).await?;
        let (name, lease) = (ctx.name(&format!("job {round}")), LeaseId::new());
        link.swallow_replies().await;
        let (store, options) = (Arc::clone(far.store()), far.options(lease, ttl));
        let acquiring = spawn({
            let name = name.clone();
            async move { Ok(store.acquire(&name, &options).await) }
        });
        let arrives = async {
            while direct.holder_of(&name).await? != Some(lease) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            CaseResult::Ok(())
        };
        // If the call reads first, it does not send its write, and there is nothing to check.
        let arrived = timeout(ARRIVAL, arrives).await.is_ok();
        link.cut().await;
        let ended = timeout(LIMIT, acquiring.join()).await;
        let answer = ended.map_err(|_| Failure::new("a call of a cut-off client never ends"))??;
        let error = answer.expect_err("no reply came through");
        link.restore().await;
        if arrived {
            assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "it was granted: {error}");
        }
        granted(far.acquire(&name, lease, ttl).await?);
    }
    Ok(())
}
