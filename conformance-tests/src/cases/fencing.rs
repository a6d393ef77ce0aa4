//! Promise `tokens-grow`: the tokens of a name strictly increase from grant to grant, whatever
//! happens in between.

use leasehold_core::{AcquireOutcome, FencingToken, LeaseId};

use crate::expect::extended;
use crate::{CaseResult, Ctx, Failure, race};

crate::case::cases! {
    TokensGrow: [
        token_increases_after_release,
        token_increases_after_expiry,
        token_increases_after_disable_and_enable,
        token_increases_after_the_record_is_deleted[DeleteRecord, CalendarClock],
        token_increases_among_racing_clients,
        token_is_unchanged_while_the_lease_lasts,
        the_record_keeps_the_token_after_release,
    ],
}

fn assert_increase(tokens: &[FencingToken]) {
    for pair in tokens.windows(2) {
        assert!(pair[0] < pair[1], "token {} came after {}", pair[1], pair[0]);
    }
}

async fn token_increases_after_release(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(2).await?;
    let name = ctx.name("job");
    let mut tokens = Vec::new();
    for round in 0..10 {
        let client = &clients[round % 2];
        let taken = client.acquire_free(&name, ctx.long_ttl()).await?;
        tokens.push(taken.token);
        client.release_held(&taken).await?;
    }
    assert_increase(&tokens);
    Ok(())
}

async fn token_increases_after_expiry(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(2).await?;
    let name = ctx.name("job");
    let mut tokens = Vec::new();
    for round in 0..3 {
        tokens.push(clients[round % 2].acquire_free(&name, ctx.short_ttl()).await?.token);
        ctx.until_over(&clients[0], &name).await?;
    }
    assert_increase(&tokens);
    Ok(())
}

async fn token_increases_after_disable_and_enable(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let name = ctx.name("job");
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let taken = client.acquire_free(&name, ctx.long_ttl()).await?;
        tokens.push(taken.token);
        client.disable(&name, "upkeep").await?;
        client.release_held(&taken).await?;
        client.enable(&name).await?;
        // A name that is free while it is disabled keeps its token too.
        client.disable(&name, "more upkeep").await?;
        client.enable(&name).await?;
    }
    assert_increase(&tokens);
    Ok(())
}

async fn token_increases_after_the_record_is_deleted(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let name = ctx.name("job");
    let probes = ctx.backend().probes();
    let Some(probe) = probes.delete_record else {
        return Err(Failure::new("the backend lacks this probe"));
    };
    let mut tokens = Vec::new();
    for round in 0..6 {
        let client = if round % 2 == 0 { &first } else { &second };
        let taken = client.acquire_free(&name, ctx.long_ttl()).await?;
        tokens.push(taken.token);
        if round >= 3 {
            client.release_held(&taken).await?;
        }
        probe.delete_record(ctx.namespace(), &name).await?;
        assert_eq!(client.get(&name).await?, None, "the probe deletes the record");
    }
    assert_increase(&tokens);
    Ok(())
}

async fn token_increases_among_racing_clients(ctx: Ctx) -> CaseResult {
    let clients = ctx.open_many(4).await?;
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    // Each contender gets its own tokens in order, and no token is granted twice.
    let tokens = race((0..32).map(|contender| {
        let (client, name) = (clients[contender % 4].clone(), name.clone());
        async move {
            let mut tokens = Vec::new();
            for _ in 0..3 {
                let taken = client.acquire_when_free(&name, ttl).await?;
                tokens.push(taken.token);
                client.release_held(&taken).await?;
            }
            assert_increase(&tokens);
            Ok(tokens)
        }
    }))
    .await?;
    let mut tokens = tokens.concat();
    tokens.sort();
    assert_increase(&tokens);
    Ok(())
}

async fn token_is_unchanged_while_the_lease_lasts(ctx: Ctx) -> CaseResult {
    let (first, second) = (ctx.open().await?, ctx.open().await?);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let taken = first.acquire_free(&name, ttl).await?;
    for _ in 0..3 {
        extended(first.renew(&name, taken.lease, ttl).await?);
        let outcome = second.acquire(&name, LeaseId::new(), ttl).await?;
        assert!(matches!(outcome, AcquireOutcome::Held(held) if held.token == taken.token));
        assert_eq!(second.get(&name).await?.and_then(|r| r.token), Some(taken.token));
    }
    Ok(())
}

async fn the_record_keeps_the_token_after_release(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let name = ctx.name("job");
    let taken = client.acquire_free(&name, ctx.long_ttl()).await?;
    client.release_held(&taken).await?;
    let record = client.get(&name).await?.expect("a name that was granted is on record");
    assert_eq!((record.token, record.lease), (Some(taken.token), None));
    Ok(())
}
