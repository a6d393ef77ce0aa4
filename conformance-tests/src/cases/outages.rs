//! These cases stop, restart, freeze, slow down or disconnect a server. They check the promises
//! `calls-end` and `trust-ends-first`: no call outlives its limit, no lease is trusted past its
//! deadline, and the application need not be restarted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use leasehold_core::{Client as Engine, ErrorKind, Guard, Hint, LeaseId, LockStoreExt, Settings};
use tokio::time::{sleep, timeout};

use super::engine::ttl;
use super::unknown::{LIMIT, over_link};
use crate::expect::{extended, granted};
use crate::{CaseResult, Client, Ctx, DisposableServer, Failure, spawn};

crate::case::cases! {
    CallsEnd: [
        clients_continue_after_a_server_restart[OwnServer],
        calls_and_trust_end_while_the_server_is_frozen[OwnServer],
        calls_wait_for_a_slow_server_within_their_limit[Outages],
    ],
    TrustEndsFirst: [
        takeover_waits_for_the_partitioned_holders_trust_deadline[Outages],
    ],
}

async fn server(ctx: &Ctx) -> CaseResult<Box<dyn DisposableServer>> {
    let probes = ctx.backend().probes();
    let probe = probes.own_server.ok_or_else(|| Failure::new("the backend lacks this probe"))?;
    Ok(probe.start_server().await?)
}

async fn engine(
    ctx: &Ctx,
    server: &dyn DisposableServer,
    settings: Settings,
) -> CaseResult<Engine> {
    let store = server.open(ctx.namespace()).await?;
    Ok(Engine::builder(store).settings(settings).build()?)
}

/// Tries until the lock is acquired, because the first calls may use dead connections.
async fn take(engine: &Engine, lock: &str) -> CaseResult<Guard> {
    let taking = async {
        loop {
            match engine.lock(lock)?.acquire(LIMIT).await {
                Ok(guard) => return Ok(guard),
                Err(error) if error.is_transient() => sleep(Duration::from_millis(100)).await,
                Err(error) => return Err(error.into()),
            }
        }
    };
    in_time("the lock is never acquired", taking).await?
}

async fn in_time<T>(otherwise: &str, future: impl Future<Output = T>) -> CaseResult<T> {
    timeout(LIMIT, future).await.map_err(|_| Failure::new(otherwise))
}

async fn clients_continue_after_a_server_restart(ctx: Ctx) -> CaseResult {
    let server = server(&ctx).await?;
    // One lease outlasts the restart, the other does not.
    let long = Settings::new().ttl(ctx.in_steps(Duration::from_secs(240)));
    let long = long.heartbeat_interval(Duration::from_secs(5)).heartbeat_retries(60);
    let long_lease = engine(&ctx, &*server, long).await?;
    let short_lease = engine(&ctx, &*server, Settings::new().ttl(ttl(&ctx))).await?;
    let kept = take(&long_lease, "kept").await?;
    let lost = take(&short_lease, "lost").await?;
    // The watch is polled all the time, as the engine does.
    let mut hints = short_lease.store().watch().await?;
    let hinted = Arc::new(AtomicBool::new(false));
    let (seen, name) = (Arc::clone(&hinted), ctx.name("lost"));
    let _listening = spawn(async move {
        while let Some(hint) = hints.next().await {
            seen.fetch_or(hint == Hint::Name(name.clone()), Ordering::Relaxed);
        }
        Ok(())
    });
    server.stop().await?;
    in_time("the loss of the lock is never reported", lost.lost()).await?;
    assert!(!lost.is_held());
    assert!(kept.is_held(), "its lease lasts longer than the outage");
    let outcome =
        in_time("a call to a stopped server never ends", short_lease.status("kept")).await?;
    let error = outcome.expect_err("the server must be unreachable");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    server.start_again().await?;
    // The same clients continue, and so does the watch.
    let next = take(&short_lease, "lost").await?;
    assert!(next.token() > lost.token());
    assert!(next.is_held() && !lost.is_held());
    // On a busy machine the release may take longer than such a short lease lasts.
    next.release_within(LIMIT).await?;
    let released = async {
        while !hinted.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(100)).await;
            take(&short_lease, "lost").await?.release_within(LIMIT).await?;
        }
        Ok::<_, Failure>(())
    };
    in_time("the watch gives no hint", released).await??;
    // The remaining time may already be the maximum that a heartbeat gives, so the case compares
    // the ends of the lease.
    let end = || Instant::now() + kept.remaining();
    let before = end();
    let renewed = async {
        while kept.is_held() && end() < before + Duration::from_secs(1) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    in_time("the heartbeats do not continue", renewed).await?;
    assert!(kept.is_held(), "the server forgot a lease that was in force");
    assert!(short_lease.lock("kept")?.try_acquire().await?.is_none());
    let token = kept.token();
    kept.release_within(LIMIT).await?;
    assert!(take(&short_lease, "kept").await?.token() > token);
    Ok(())
}

async fn calls_and_trust_end_while_the_server_is_frozen(ctx: Ctx) -> CaseResult {
    let server = server(&ctx).await?;
    let five = Settings::new().ttl(ctx.in_steps(Duration::from_secs(5)));
    let holder = engine(&ctx, &*server, five).await?;
    let client = Client::new(server.open(ctx.namespace()).await?);
    let guard = take(&holder, "job").await?;
    let (other, lease, long) = (ctx.name("other"), LeaseId::new(), ctx.long_ttl());
    let taken = client.acquire_free(&ctx.name("held"), long).await?;
    server.freeze().await?;
    let options = client.options(lease, long);
    let calls = async {
        tokio::join!(
            client.store().acquire(&other, &options),
            client.store().renew_one(&taken.name, taken.lease, long),
            client.store().get(&other),
        )
    };
    let (acquired, renewed, read) = in_time("a call to a frozen server never ends", calls).await?;
    for error in [acquired.map(drop), renewed.map(drop)] {
        let error = error.expect_err("the server must be unreachable");
        assert!(error.is_transient(), "{error:?}");
    }
    assert_eq!(read.expect_err("the server must be unreachable").kind(), ErrorKind::Unavailable);
    in_time("the loss of the lock is never reported", guard.lost()).await?;
    assert!(!guard.is_held());
    server.resume().await?;
    assert!(take(&holder, "job").await?.token() > guard.token());
    // The same client continues, and its retry returns the grant if there was one.
    granted(client.acquire(&other, lease, long).await?);
    extended(client.renew(&taken.name, taken.lease, long).await?);
    Ok(())
}

async fn calls_wait_for_a_slow_server_within_their_limit(ctx: Ctx) -> CaseResult {
    let (link, client) = over_link(&ctx).await?;
    link.slow(Duration::from_millis(150)).await;
    let taken = client.acquire_free(&ctx.name("job"), ctx.long_ttl()).await?;
    extended(client.renew(&taken.name, taken.lease, ctx.long_ttl()).await?);
    client.release_held(&taken).await?;
    // A link that is too slow makes the call time out.
    link.slow(LIMIT * 2).await;
    let options = client.options(LeaseId::new(), ctx.long_ttl());
    let call = client.store().acquire(&taken.name, &options);
    let error = in_time("a call never ends", call).await?.expect_err("it is too slow");
    assert!(error.is_transient(), "{error:?}");
    Ok(())
}

async fn takeover_waits_for_the_partitioned_holders_trust_deadline(ctx: Ctx) -> CaseResult {
    let near = ctx.open().await?;
    let (link, far) = over_link(&ctx).await?;
    let settings = Settings::new().ttl(ttl(&ctx));
    let engine = Engine::builder(far.store().clone()).settings(settings).build()?;
    let guard = engine.lock("job")?.acquire(LIMIT).await?;
    link.cut().await;
    let (name, long) = (ctx.name("job"), ctx.long_ttl());
    let next = near.acquire_when_free(&name, long);
    let next = in_time("no client takes over", next).await??;
    assert!(!guard.is_held(), "two clients hold the lock");
    assert!(next.token > guard.token());
    in_time("the loss of the lock is never reported", guard.lost()).await?;
    link.restore().await;
    near.release_held(&next).await?;
    assert!(take(&engine, "job").await?.token() > next.token);
    Ok(())
}
