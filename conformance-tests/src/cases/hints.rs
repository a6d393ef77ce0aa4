//! Promise `hints-only`: a watch wakes waiters early. It gives hints only, and heartbeats cause no
//! hints.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold_core::{Hint, HintStream, LockName};
use tokio::time::{sleep, timeout};

use super::unknown::{LIMIT, over_link};
use crate::client::concerns;
use crate::expect::extended;
use crate::{CaseResult, Client, Ctx, Failure, Task, race, spawn};

crate::case::cases! {
    HintsOnly: [
        a_release_is_hinted_to_other_clients,
        a_disable_is_hinted_to_other_clients,
        an_enable_is_hinted_to_other_clients,
        every_watch_gets_the_hint,
        heartbeats_cause_no_hints,
        a_watch_gets_hints_of_changes_after_it_opened,
        concurrent_changes_are_all_hinted,
        dropped_and_unpolled_watches_block_no_call,
        an_interrupted_watch_gives_a_hint_or_ends[Outages],
    ],
}

/// Waits for a hint of the name.
async fn hinted(hints: &mut HintStream, name: &LockName, limit: Duration) -> CaseResult {
    let wait = async {
        while let Some(hint) = hints.next().await {
            if concerns(&hint, name) {
                return Ok(());
            }
        }
        Err(Failure::new("the watch ended"))
    };
    timeout(limit, wait).await.unwrap_or_else(|_| {
        Err(Failure::new(format!("no hint about {name:?} arrived within {limit:?}")))
    })
}

/// Starts a watcher that polls its stream from now until it receives a hint of the name.
async fn watcher(client: &Client, name: &LockName, limit: Duration) -> CaseResult<Task<()>> {
    let mut hints = client.watch().await?;
    let name = name.clone();
    Ok(spawn(async move { hinted(&mut hints, &name, limit).await }))
}

async fn a_release_is_hinted_to_other_clients(ctx: Ctx) -> CaseResult {
    let (holder, waiter) = (ctx.open().await?, ctx.open().await?);
    let name = ctx.name("job");
    let taken = holder.acquire_free(&name, ctx.long_ttl()).await?;
    sleep(ctx.hint_window()).await;
    let watcher = watcher(&waiter, &name, ctx.hint_patience()).await?;
    holder.release_held(&taken).await?;
    watcher.join().await
}

async fn a_disable_is_hinted_to_other_clients(ctx: Ctx) -> CaseResult {
    let (operator, waiter) = (ctx.open().await?, ctx.open().await?);
    for (name, held) in [("held", true), ("never used", false)] {
        let name = ctx.name(name);
        if held {
            operator.acquire_free(&name, ctx.long_ttl()).await?;
            sleep(ctx.hint_window()).await;
        }
        let watcher = watcher(&waiter, &name, ctx.hint_patience()).await?;
        operator.disable(&name, "upkeep").await?;
        watcher.join().await?;
    }
    Ok(())
}

async fn an_enable_is_hinted_to_other_clients(ctx: Ctx) -> CaseResult {
    let (operator, waiter) = (ctx.open().await?, ctx.open().await?);
    let name = ctx.name("job");
    operator.disable(&name, "upkeep").await?;
    sleep(ctx.hint_window()).await;
    let watcher = watcher(&waiter, &name, ctx.hint_patience()).await?;
    operator.enable(&name).await?;
    watcher.join().await
}

async fn every_watch_gets_the_hint(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(4).await?;
    let name = ctx.name("job");
    let taken = clients[0].acquire_free(&name, ctx.long_ttl()).await?;
    sleep(ctx.hint_window()).await;
    let mut watchers = Vec::new();
    // Each client has four watchers, the holder included.
    for watching in 0..16 {
        watchers.push(watcher(&clients[watching % 4], &name, ctx.hint_patience()).await?);
    }
    clients[0].release_held(&taken).await?;
    for watcher in watchers {
        watcher.join().await?;
    }
    Ok(())
}

async fn heartbeats_cause_no_hints(ctx: Ctx) -> CaseResult {
    let (holder, waiter) = (ctx.open().await?, ctx.open().await?);
    let (beating, end, ttl) = (ctx.name("beating"), ctx.name("end"), ctx.long_ttl());
    let lease = holder.acquire_free(&beating, ttl).await?.lease;
    let last = holder.acquire_free(&end, ttl).await?;
    // Hints that the grants may have caused have arrived by then.
    sleep(ctx.hint_window()).await;
    let mut hints = waiter.watch().await?;
    let limit = ctx.hint_patience();
    let watcher = spawn({
        let end = end.clone();
        async move {
            let mut seen = Vec::new();
            let wait = async {
                while let Some(hint) = hints.next().await {
                    let over = hint == Hint::Name(end.clone());
                    seen.push(hint);
                    if over {
                        break;
                    }
                }
            };
            // The hint `Anything` does not name the end, so the wait also ends after some time.
            let _ = timeout(limit, wait).await;
            Ok(seen)
        }
    });
    let heartbeats = 6;
    for _ in 0..heartbeats {
        extended(holder.renew(&beating, lease, ttl).await?);
        sleep(ctx.hint_window() / 2).await;
    }
    holder.release_held(&last).await?;
    let seen = watcher.join().await?;
    // On a busy machine a hint of the grant may arrive late, but at most once or twice.
    let caused = seen.iter().filter(|hint| concerns(hint, &beating)).count();
    assert!(caused < heartbeats / 2, "heartbeats caused hints: {seen:?}");
    Ok(())
}

async fn a_watch_gets_hints_of_changes_after_it_opened(ctx: Ctx) -> CaseResult {
    let (holder, waiter) = (ctx.open().await?, ctx.open().await?);
    let name = ctx.name("job");
    for _ in 0..2 {
        let taken = holder.acquire_free(&name, ctx.long_ttl()).await?;
        holder.release_held(&taken).await?;
    }
    let taken = holder.acquire_free(&name, ctx.long_ttl()).await?;
    sleep(ctx.hint_window()).await;
    let watcher = watcher(&waiter, &name, ctx.hint_patience()).await?;
    sleep(ctx.hint_window()).await;
    holder.release_held(&taken).await?;
    watcher.join().await
}

async fn concurrent_changes_are_all_hinted(ctx: Ctx) -> CaseResult {
    let (holder, waiter) = (ctx.open().await?, ctx.open().await?);
    let names: Vec<LockName> = (0..64).map(|job| ctx.name(&format!("job {job}"))).collect();
    let mut held = Vec::new();
    for name in &names {
        held.push(holder.acquire_free(name, ctx.long_ttl()).await?);
    }
    sleep(ctx.hint_window()).await;
    let mut hints = waiter.watch().await?;
    let limit = ctx.hint_patience();
    let watcher = spawn(async move {
        let mut missing: HashSet<LockName> = names.into_iter().collect();
        let wait = async {
            while !missing.is_empty() {
                match hints.next().await {
                    Some(Hint::Name(name)) => _ = missing.remove(&name),
                    None => break,
                    Some(_) => missing.clear(),
                }
            }
        };
        let _ = timeout(limit, wait).await;
        assert!(missing.is_empty(), "{} of 64 releases were not hinted at", missing.len());
        Ok(())
    });
    race(held.into_iter().map(|taken| {
        let holder = holder.clone();
        async move { holder.release_held(&taken).await }
    }))
    .await?;
    watcher.join().await
}

async fn dropped_and_unpolled_watches_block_no_call(ctx: Ctx) -> CaseResult {
    let (holder, waiter) = (ctx.open().await?, ctx.open().await?);
    let name = ctx.name("job");
    let _never_polled = waiter.watch().await?;
    for _ in 0..30 {
        drop(waiter.watch().await?);
        let taken = holder.acquire_free(&name, ctx.long_ttl()).await?;
        holder.release_held(&taken).await?;
    }
    waiter.acquire_free(&name, ctx.long_ttl()).await?;
    Ok(())
}

async fn an_interrupted_watch_gives_a_hint_or_ends(ctx: Ctx) -> CaseResult {
    let near = ctx.open().await?;
    let (link, far) = over_link(&ctx).await?;
    let name = ctx.name("job");
    let taken = near.acquire_free(&name, ctx.long_ttl()).await?;
    let mut hints = far.watch().await?;
    let limit = ctx.hint_patience() + LIMIT;
    let watcher = spawn({
        let name = name.clone();
        async move {
            let wait = async {
                while let Some(hint) = hints.next().await {
                    if concerns(&hint, &name) {
                        break;
                    }
                }
            };
            let hint = timeout(limit, wait).await;
            assert!(hint.is_ok(), "the watcher got no hint of a change that it missed");
            Ok(())
        }
    });
    sleep(ctx.hint_window()).await;
    link.cut().await;
    near.release_held(&taken).await?;
    sleep(ctx.hint_window()).await;
    link.restore().await;
    watcher.join().await
}
