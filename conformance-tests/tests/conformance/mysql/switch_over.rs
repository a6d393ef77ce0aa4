//! A switch-over after which the old primary stays up but accepts no more writes.

use std::sync::Arc;

use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::expect::{granted, lost};
use leasehold_conformance::servers::Proxy;
use leasehold_conformance::{Backend, CaseResult, Client, race};
use leasehold_core::{DisableOptions, LeaseId, LockStoreExt, Reason};
use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlPoolOptions;

use super::own::{LONG, fresh, name};
use super::{MySql, options, pool, start};

pub(super) async fn after_a_switch_over_the_next_call_follows_the_address(
    backend: Arc<MySql>,
) -> CaseResult {
    backend.may_start_servers()?;
    let (old, old_url) = start(backend.image, &[]).await?;
    let (admin, namespace) = (pool(&old_url)?, fresh());
    // The same table and user on both; the user may not write where `read_only` is on.
    backend.open(&namespace).await?;
    let url = backend.user_of_table(&namespace).await?;
    MySqlStore::connect(&old_url, &options(&namespace, Schema::Create)).await?;
    for statement in [
        format!("CREATE USER {namespace} IDENTIFIED BY 'secret'"),
        format!("GRANT SELECT, INSERT, UPDATE ON {namespace}_locks TO {namespace}"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {namespace}_instances TO {namespace}"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&admin).await?;
    }
    let proxy = Proxy::start(&old.address()).await?;
    let url = url.replace(&backend.address(), &proxy.address());
    let options = options(&namespace, Schema::Require);
    let own = MySqlStore::connect(&url, &options).await?;
    let application = MySqlPoolOptions::new().max_connections(4).test_before_acquire(false);
    let on_pool = MySqlStore::from_pool(application.connect(&url).await?, &options).await?;
    let clients = [own, on_pool].map(|store| Client::new(Arc::new(store)));
    let mut leases = Vec::new();
    for client in &clients {
        // These open several connections, all of them to the old primary.
        race((0..4).map(|_| {
            let client = client.clone();
            async move {
                for _ in 0..5 {
                    client.store().list_all("").await?;
                }
                Ok(())
            }
        }))
        .await?;
        let taken = client.take(&name(&format!("job {}", leases.len())), LONG).await?;
        client.renew(&taken.name, taken.lease, LONG).await?;
        leases.push(taken);
    }
    sqlx::raw_sql("SET GLOBAL read_only = 1").execute(&admin).await?;
    proxy.lead_to(&backend.address());
    let upkeep = DisableOptions { reason: Reason::new("upkeep")?, by: None };
    for (client, taken) in clients.iter().zip(leases) {
        let store = client.store();
        // Even the first call follows, and no call returns an error.
        lost(store.renew_one(&taken.name, taken.lease, LONG).await?);
        for _ in 0..6 {
            let lease = LeaseId::new();
            let options = client.options(lease, LONG);
            granted(store.acquire(&taken.name, &options).await?);
            store.disable(&taken.name, &upkeep).await?;
            store.enable(&taken.name).await?;
            store.release(&taken.name, lease).await?;
        }
    }
    backend.clean(&namespace).await?;
    Ok(())
}
