//! Promise `own-pool`: a store can be built on a pool that the application already has.

use leasehold_core::LeaseId;

use crate::expect::{extended, held};
use crate::{CaseResult, Client, Ctx, Failure, Pooled, race};

crate::case::cases! {
    OwnPool: [
        stores_by_url_and_by_pool_share_their_locks[OwnPool],
        the_application_can_still_use_its_pool[OwnPool],
    ],
}

async fn on_own_pool(ctx: &Ctx) -> CaseResult<Pooled> {
    let probes = ctx.backend().probes();
    let probe = probes.own_pool.ok_or_else(|| Failure::new("the backend lacks this probe"))?;
    Ok(probe.open_on_own_pool(ctx.namespace()).await?)
}

async fn stores_by_url_and_by_pool_share_their_locks(ctx: Ctx) -> CaseResult {
    let by_url = ctx.open().await?;
    let pooled = on_own_pool(&ctx).await?;
    let on_pool = Client::new(pooled.store);
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let mut last = None;
    for (holder, other) in [(&by_url, &on_pool), (&on_pool, &by_url)] {
        let taken = holder.acquire_free(&name, ttl).await?;
        assert_eq!(held(other.acquire(&name, LeaseId::new(), ttl).await?).token, taken.token);
        extended(holder.renew(&name, taken.lease, ttl).await?);
        holder.release_held(&taken).await?;
        assert!(Some(taken.token) > last);
        last = Some(taken.token);
    }
    Ok(())
}

async fn the_application_can_still_use_its_pool(ctx: Ctx) -> CaseResult {
    let Pooled { store, use_pool } = on_own_pool(&ctx).await?;
    let client = Client::new(store);
    let ttl = ctx.long_ttl();
    // The store, its watch and the application share a pool of two connections.
    let _hints = client.watch().await?;
    race((0..32).map(|number| {
        let (client, name) = (client.clone(), ctx.name(&format!("job {}", number % 4)));
        let using = use_pool();
        async move {
            let taken = client.acquire_when_free(&name, ttl).await?;
            using.await?;
            client.release_held(&taken).await
        }
    }))
    .await?;
    // A holder keeps no connection.
    let _held = client.acquire_free(&ctx.name("held"), ttl).await?;
    for _ in 0..4 {
        use_pool().await?;
    }
    drop((client, _hints));
    // The pool belongs to the application and outlives the store.
    use_pool().await?;
    Ok(())
}
