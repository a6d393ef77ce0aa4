//! Promises `least-rights` and `separate-namespaces`: once the schema exists, no permission to
//! change it is needed, and namespaces are separate.

use std::sync::Arc;

use leasehold_core::{LeaseId, Namespace};

use crate::expect::{extended, held, refused};
use crate::{CaseResult, Client, Ctx, Failure, race};

crate::case::cases! {
    LeastRights: [
        concurrent_first_clients_all_open_the_store,
        reopening_a_store_keeps_its_records,
        a_store_without_ddl_rights_works_on_the_printed_schema[Schema],
        the_printed_schema_can_be_applied_twice[Schema],
        a_store_without_ddl_rights_works_on_a_created_schema[Schema],
    ],
    SeparateNamespaces: [
        namespaces_are_separate,
    ],
}

/// Asserts that every operation works.
async fn assert_works(ctx: &Ctx, client: &Client, job: &str) -> CaseResult {
    let (name, ttl) = (ctx.name(job), ctx.long_ttl());
    let _hints = client.watch().await?;
    let taken = client.acquire_free(&name, ttl).await?;
    held(client.acquire(&name, LeaseId::new(), ttl).await?);
    extended(client.renew(&name, taken.lease, ttl).await?);
    client.disable(&name, "upkeep").await?;
    client.release_held(&taken).await?;
    refused(client.acquire(&name, LeaseId::new(), ttl).await?);
    client.enable(&name).await?;
    assert_eq!(client.get(&name).await?.and_then(|record| record.token), Some(taken.token));
    assert_eq!(client.names(job).await?, [name]);
    Ok(())
}

async fn concurrent_first_clients_all_open_the_store(ctx: Ctx) -> CaseResult {
    for _ in 0..3 {
        let namespace = ctx.another_namespace()?;
        let name = ctx.name("job");
        let taken = race((0..24).map(|_| {
            let (ctx, namespace, name) = (ctx.clone(), namespace.clone(), name.clone());
            async move {
                // Nothing of the namespace exists yet, and all clients create it.
                let client = ctx.open_in(&namespace).await?;
                Ok(client.try_acquire(&name, ctx.long_ttl()).await?.ok())
            }
        }))
        .await?;
        assert_eq!(taken.into_iter().flatten().count(), 1, "one of the first clients is granted");
    }
    Ok(())
}

async fn reopening_a_store_keeps_its_records(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let taken = client.acquire_free(&ctx.name("held"), ctx.long_ttl()).await?;
    client.disable(&ctx.name("disabled"), "upkeep").await?;
    let again = ctx.open().await?;
    assert_eq!(again.holder_of(&taken.name).await?, Some(taken.lease));
    refused(again.acquire(&ctx.name("disabled"), LeaseId::new(), ctx.long_ttl()).await?);
    assert_eq!(again.names("").await?.len(), 2);
    Ok(())
}

async fn namespaces_are_separate(ctx: Ctx) -> CaseResult {
    let own = ctx.namespace().clone();
    // One namespace begins like the other, and one has the greatest length.
    let longer = Namespace::new(format!("{own}_a"))?;
    let longest = Namespace::new(format!("{:_<32}", own.as_str()))?;
    let mut clients = vec![ctx.open().await?];
    for namespace in [&longer, &longest] {
        ctx.clean_later(namespace);
        clients.push(ctx.open_in(namespace).await?);
    }
    let (name, ttl) = (ctx.name("job"), ctx.long_ttl());
    let mut held = Vec::new();
    for client in &clients {
        held.push(client.acquire_free(&name, ttl).await?);
    }
    clients[0].disable(&name, "upkeep").await?;
    for (client, taken) in clients.iter().zip(&held).skip(1) {
        extended(client.renew(&name, taken.lease, ttl).await?);
        assert_eq!(client.names("").await?, std::slice::from_ref(&name));
        client.release_held(taken).await?;
    }
    assert_eq!(clients[0].holder_of(&name).await?, Some(held[0].lease));
    // Cleaning one namespace does not affect another.
    ctx.backend().clean(&longer).await?;
    assert_eq!(clients[0].holder_of(&name).await?, Some(held[0].lease));
    Ok(())
}

fn no_probe() -> Failure {
    Failure::new("the backend lacks this probe")
}

async fn a_store_without_ddl_rights_works_on_the_printed_schema(ctx: Ctx) -> CaseResult {
    let probes = ctx.backend().probes();
    let probe = probes.schema.ok_or_else(no_probe)?;
    let namespace = ctx.another_namespace()?;
    probe.apply(&namespace, &probe.printed(&namespace)?).await?;
    let client = Client::new(probe.open_without_rights(&namespace).await?);
    assert_works(&ctx, &client, "job").await
}

async fn the_printed_schema_can_be_applied_twice(ctx: Ctx) -> CaseResult {
    let probes = ctx.backend().probes();
    let probe = probes.schema.ok_or_else(no_probe)?;
    let namespace = ctx.another_namespace()?;
    let printed = probe.printed(&namespace)?;
    probe.apply(&namespace, &printed).await?;
    let client = ctx.open_in(&namespace).await?;
    let taken = client.acquire_free(&ctx.name("held"), ctx.long_ttl()).await?;
    probe.apply(&namespace, &printed).await?;
    assert_eq!(client.holder_of(&taken.name).await?, Some(taken.lease), "nothing is lost");
    assert_works(&ctx, &client, "job").await
}

async fn a_store_without_ddl_rights_works_on_a_created_schema(ctx: Ctx) -> CaseResult {
    let probes = ctx.backend().probes();
    let probe = probes.schema.ok_or_else(no_probe)?;
    // One client with full permissions creates the schema, and one without permission to change it
    // uses it.
    let creator = ctx.open().await?;
    let client = Client::new(probe.open_without_rights(ctx.namespace()).await?);
    let taken = creator.acquire_free(&ctx.name("held"), ctx.long_ttl()).await?;
    held(client.acquire(&taken.name, LeaseId::new(), ctx.long_ttl()).await?);
    assert!(!Arc::ptr_eq(creator.store(), client.store()));
    assert_works(&ctx, &client, "job").await
}
