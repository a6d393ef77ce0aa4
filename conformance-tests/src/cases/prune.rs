//! Pruning removes the records of unused names.

use std::time::Duration;

use leasehold_core::{LockName, PruneOptions};

use crate::{CaseResult, Client, Ctx};

crate::case::cases! {
    PruneOnlyUnused: [
        an_unused_name_is_pruned_and_its_next_token_is_larger,
        names_in_use_are_not_pruned,
        a_recently_granted_name_is_not_pruned,
        a_dry_run_removes_nothing,
        names_are_pruned_page_by_page_in_byte_order,
        concurrent_prune_and_acquire_lose_no_lease,
    ],
}

/// Returns options that remove all names that are unused now.
fn now() -> PruneOptions {
    PruneOptions::default().with_unused_for(Duration::ZERO).with_limit(100).with_dry_run(false)
}

/// Returns names that were granted and released.
async fn used(ctx: &Ctx, client: &Client, names: &[&str]) -> CaseResult<Vec<LockName>> {
    let mut used = Vec::new();
    for name in names {
        let name = ctx.name(name);
        let lease = client.acquire_free(&name, ctx.long_ttl()).await?;
        client.release_held(&lease).await?;
        used.push(name);
    }
    Ok(used)
}

async fn an_unused_name_is_pruned_and_its_next_token_is_larger(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let name = ctx.name("job");
    let mut latest = None;
    for _ in 0..3 {
        let lease = client.acquire_free(&name, ctx.long_ttl()).await?;
        assert!(Some(lease.token) > latest, "{:?} is not above {latest:?}", lease.token);
        latest = Some(lease.token);
        client.release_held(&lease).await?;
        // Some stores keep no record of an unused name.
        let recorded = client.get(&name).await?.is_some();
        assert_eq!(client.prune(&now()).await?.contains(&name), recorded);
        assert_eq!(client.get(&name).await?, None);
        assert_eq!(client.prune(&now()).await?, []);
    }
    Ok(())
}

async fn names_in_use_are_not_pruned(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let [held, disabled, both] = ["held", "disabled", "both"].map(|name| ctx.name(name));
    let lease = client.acquire_free(&held, ctx.long_ttl()).await?;
    client.disable(&disabled, "upkeep").await?;
    client.acquire_free(&both, ctx.long_ttl()).await?;
    client.disable(&both, "upkeep").await?;
    assert_eq!(client.prune(&now()).await?, []);
    assert_eq!(client.get(&held).await?.and_then(|record| record.token), Some(lease.token));
    for name in [&disabled, &both] {
        assert!(client.get(name).await?.is_some_and(|record| record.disabled.is_some()));
    }
    Ok(())
}

async fn a_recently_granted_name_is_not_pruned(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let names = used(&ctx, &client, &["job"]).await?;
    let before = client.get(&names[0]).await?;
    let options = now().with_unused_for(Duration::from_secs(24 * 60 * 60));
    assert_eq!(client.prune(&options).await?, []);
    assert_eq!(client.get(&names[0]).await?, before);
    Ok(())
}

async fn a_dry_run_removes_nothing(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let names = used(&ctx, &client, &["a", "b"]).await?;
    let recorded = client.names("").await?;
    let dry_run = now().with_dry_run(true);
    assert_eq!(client.prune(&dry_run).await?, recorded);
    assert_eq!(client.names("").await?, recorded);
    assert!(recorded.is_empty() || recorded == names);
    Ok(())
}

async fn names_are_pruned_page_by_page_in_byte_order(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    used(&ctx, &client, &["b", "a", "a/b", "a%", "B", "á", "c"]).await?;
    client.acquire_free(&ctx.name("a0"), ctx.long_ttl()).await?;
    let expected: Vec<_> =
        client.names("").await?.into_iter().filter(|name| name.as_str() != "a0").collect();
    let mut page = now().with_limit(2);
    let mut pruned = Vec::new();
    loop {
        let names = client.prune(&page).await?;
        assert!(names.len() <= 2, "{names:?}");
        let Some(last) = names.last() else { break };
        page.after = Some(last.clone());
        pruned.extend(names);
    }
    assert_eq!(pruned, expected);
    assert_eq!(client.prune(&now().with_limit(0)).await?, []);
    assert_eq!(client.names("").await?, [ctx.name("a0")]);
    Ok(())
}

/// A record is checked and removed in one operation, so a lease that is granted in between stays.
async fn concurrent_prune_and_acquire_lose_no_lease(ctx: Ctx) -> CaseResult {
    let (client, other) = (ctx.open().await?, ctx.open().await?);
    let name = ctx.name("job");
    let mut latest = None;
    for _ in 0..20 {
        let options = now();
        let (pruned, taken) =
            tokio::join!(other.prune(&options), client.acquire_free(&name, ctx.long_ttl()));
        let lease = taken?;
        pruned?;
        assert!(Some(lease.token) > latest, "{:?} is not above {latest:?}", lease.token);
        latest = Some(lease.token);
        let record = client.get(&name).await?;
        assert_eq!(record.and_then(|record| record.lease).map(|l| l.id), Some(lease.lease));
        client.release_held(&lease).await?;
    }
    Ok(())
}
