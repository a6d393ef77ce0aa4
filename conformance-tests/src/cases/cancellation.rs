//! Promise `cancel-safe`: a dropped call leaves the store as before or after the operation, and its
//! connection can be used again.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use leasehold_core::{
    DisableOptions, DisableOutcome, LeaseId, LockName, LockStoreExt, Reason, ReleaseOutcome,
};
use tokio::time::{sleep, timeout};

use crate::expect::{extended, granted};
use crate::{CaseResult, Client, Ctx, race};

crate::case::cases! {
    CancelSafe: [
        a_dropped_acquire_is_atomic,
        a_dropped_renewal_is_atomic,
        a_dropped_release_is_atomic,
        a_dropped_disable_or_enable_is_atomic,
        dropped_reads_leave_the_store_usable,
        dropped_calls_leak_no_connections,
    ],
}

/// Each case drops this many calls.
const DROPS: usize = 80;

/// An idle server may process a request for this long after its call was dropped.
const SETTLED: Duration = Duration::from_millis(500);

/// Waits until the requests of dropped calls have ended at the server. The wait is many times as
/// long as the slowest of a few calls takes now.
async fn settled(ctx: &Ctx, client: &Client) -> CaseResult {
    let (name, mut slowest) = (ctx.name("settled"), Duration::ZERO);
    for _ in 0..5 {
        let sent_at = Instant::now();
        client.release_held(&client.acquire_free(&name, ctx.long_ttl()).await?).await?;
        slowest = slowest.max(sent_at.elapsed());
    }
    sleep(SETTLED.max(slowest * 10)).await;
    Ok(())
}

/// Drops the call after a few polls or microseconds, unless it has ended by then.
async fn dropped(call: impl Future) {
    if fastrand::bool() {
        let pause = Duration::from_micros(fastrand::u64(0..1500));
        let _ = timeout(pause, call).await;
    } else {
        let mut polls_left = fastrand::u32(1..6);
        let mut call = pin!(call);
        poll_fn(|context| {
            polls_left -= 1;
            if call.as_mut().poll(context).is_ready() || polls_left == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

fn numbered(ctx: &Ctx) -> Vec<LockName> {
    (0..DROPS).map(|number| ctx.name(&format!("job {number}"))).collect()
}

/// Asserts that a name which no client uses can be acquired, renewed and released.
async fn assert_usable(ctx: &Ctx, client: &Client, name: &LockName) -> CaseResult {
    let taken = client.acquire_free(name, ctx.long_ttl()).await?;
    extended(client.renew(name, taken.lease, ctx.long_ttl()).await?);
    client.release_held(&taken).await
}

async fn a_dropped_acquire_is_atomic(ctx: Ctx) -> CaseResult {
    let (client, other) = (ctx.open().await?, ctx.open().await?);
    let ttl = ctx.long_ttl();
    let mut attempts = Vec::new();
    for name in numbered(&ctx) {
        let lease = LeaseId::new();
        let options = client.options(lease, ttl);
        dropped(client.store().acquire(&name, &options)).await;
        attempts.push((name, lease));
    }
    settled(&ctx, &client).await?;
    for (name, lease) in attempts {
        let before = other.get(&name).await?;
        if let Some(found) = before.as_ref().and_then(|record| record.lease.as_ref()) {
            assert_eq!(found.id, lease);
            assert!(found.left <= ttl && &found.holder == client.holder());
        }
        // The name was granted before or is granted now. The retry returns the same grant.
        let grant = granted(other.acquire(&name, lease, ttl).await?);
        if let Some(token) = before.and_then(|record| record.token) {
            assert_eq!(grant.token, token, "the grant was made once");
        }
        assert_eq!(client.release(&name, lease).await?, ReleaseOutcome::Released);
        assert_usable(&ctx, &client, &name).await?;
    }
    Ok(())
}

async fn a_dropped_renewal_is_atomic(ctx: Ctx) -> CaseResult {
    let (client, other) = (ctx.open().await?, ctx.open().await?);
    let ttl = ctx.long_ttl();
    let mut held = Vec::new();
    for name in numbered(&ctx) {
        let taken = client.acquire_free(&name, ttl).await?;
        dropped(client.store().renew_one(&name, taken.lease, ttl * 2)).await;
        held.push(taken);
    }
    settled(&ctx, &client).await?;
    for taken in held {
        let lease = other.lease_of(&taken.name).await?.expect("the lease is in force");
        assert_eq!(lease.id, taken.lease);
        assert!(lease.left <= ttl * 2);
        extended(client.renew(&taken.name, taken.lease, ttl).await?);
        client.release_held(&taken).await?;
        assert_usable(&ctx, &client, &taken.name).await?;
    }
    Ok(())
}

async fn a_dropped_release_is_atomic(ctx: Ctx) -> CaseResult {
    let (client, other) = (ctx.open().await?, ctx.open().await?);
    let mut held = Vec::new();
    for name in numbered(&ctx) {
        let taken = client.acquire_free(&name, ctx.long_ttl()).await?;
        dropped(client.store().release(&name, taken.lease)).await;
        held.push(taken);
    }
    settled(&ctx, &client).await?;
    for taken in held {
        let before = other.holder_of(&taken.name).await?;
        assert!(before.is_none_or(|lease| lease == taken.lease));
        let outcome = client.release(&taken.name, taken.lease).await?;
        assert_eq!(outcome == ReleaseOutcome::Released, before.is_some());
        assert_usable(&ctx, &client, &taken.name).await?;
    }
    Ok(())
}

async fn a_dropped_disable_or_enable_is_atomic(ctx: Ctx) -> CaseResult {
    let (client, other) = (ctx.open().await?, ctx.open().await?);
    let options = DisableOptions::new(Reason::new("upkeep")?);
    for name in numbered(&ctx) {
        dropped(client.store().disable(&name, &options)).await;
    }
    settled(&ctx, &client).await?;
    for name in numbered(&ctx) {
        let before = other.get(&name).await?.and_then(|record| record.disabled);
        match client.disable(&name, "upkeep").await? {
            DisableOutcome::Disabled => assert_eq!(before, None, "{name:?}"),
            DisableOutcome::AlreadyDisabled(kept) => {
                assert!(before.is_some_and(|before| before.reason == kept.reason), "{name:?}");
            }
        }
        dropped(client.store().enable(&name)).await;
    }
    settled(&ctx, &client).await?;
    for name in numbered(&ctx) {
        client.enable(&name).await?;
        assert_usable(&ctx, &client, &name).await?;
    }
    Ok(())
}

async fn dropped_reads_leave_the_store_usable(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    for name in numbered(&ctx).iter().take(20) {
        client.acquire_free(name, ctx.long_ttl()).await?;
    }
    for name in numbered(&ctx) {
        dropped(client.store().get(&name)).await;
        dropped(client.store().list_all("job")).await;
        dropped(client.store().watch()).await;
    }
    assert_eq!(client.names("").await?.len(), 20);
    assert_usable(&ctx, &client, &ctx.name("another")).await
}

async fn dropped_calls_leak_no_connections(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    // All calls run at the same time on one client. They are more than any pool has connections.
    race((0..200).map(|number| {
        let (client, name) = (client.clone(), ctx.name(&format!("job {}", number % 50)));
        async move {
            let lease = LeaseId::new();
            let options = client.options(lease, ttl);
            match number % 4 {
                0 => dropped(client.store().acquire(&name, &options)).await,
                1 => dropped(client.store().renew_one(&name, lease, ttl)).await,
                2 => dropped(client.store().release(&name, lease)).await,
                _ => dropped(client.store().get(&name)).await,
            }
            Ok(())
        }
    }))
    .await?;
    settled(&ctx, &client).await?;
    race((0..64).map(|number| {
        let (ctx, client) = (ctx.clone(), client.clone());
        async move { assert_usable(&ctx, &client, &ctx.name(&format!("new {number}"))).await }
    }))
    .await?;
    assert_usable(&ctx, &client, &name).await
}
