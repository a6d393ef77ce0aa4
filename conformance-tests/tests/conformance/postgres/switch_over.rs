//! These cases cover a switch-over after which the old primary still runs but accepts no writes.

use std::sync::Arc;
use std::time::Duration;

use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::expect::{granted, lost};
use leasehold_conformance::{Backend, CaseResult, Client, Failure, race};
use leasehold_core::{DisableOptions, LeaseId, LockStoreExt, Reason};
use leasehold_test_servers::catalog::POSTGRES;
use leasehold_test_servers::{Proxy, until_ready};
use sqlx::postgres::PgPoolOptions;
use tokio::time::{sleep, timeout};

use super::support::{LONG, fresh, name};
use super::{Postgres, options, pool, start};

/// This is the limit for every step that has no other time limit.
const LIMIT: Duration = Duration::from_secs(100);

pub(super) async fn the_first_call_after_a_switchover_follows_the_address(
    backend: Arc<Postgres>,
) -> CaseResult {
    backend.needs("postgres").await?;
    let (old, old_url) = start(&[]).await?;
    let (admin, namespace) = (pool(&old_url)?, fresh());
    // The server tells its sessions of a new setting from the newest to the oldest. This one is
    // the oldest, so the others know what it knows.
    sqlx::query("SELECT 1").execute(&admin).await?;
    let proxy = Proxy::start(&old.address()).await?;
    let url = POSTGRES.url_at(&proxy.address());
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}application_name={namespace}");
    backend.open(&namespace).await?;
    let options = options(&namespace, Schema::Create);
    let own = until_ready(|| PostgresStore::connect(&url, &options)).await?;
    let application = PgPoolOptions::new().max_connections(4).test_before_acquire(false);
    let application = application.connect(&url).await?;
    let on_pool = until_ready(|| PostgresStore::from_pool(application.clone(), &options)).await?;
    let clients = [own, on_pool].map(|store| Client::new(Arc::new(store)));
    let mut leases = Vec::new();
    let mut watches = Vec::new();
    for client in &clients {
        watches.push(client.watch().await?);
        // These open several connections, all of them to the old primary.
        race((0..4).map(|_| {
            let client = client.clone();
            async move {
                for _ in 0..5 {
                    until_ready(|| client.store().list_all("")).await?;
                }
                Ok(())
            }
        }))
        .await?;
        let taken = client.acquire_free(&name(&format!("job {}", leases.len())), LONG).await?;
        client.renew(&taken.name, taken.lease, LONG).await?;
        leases.push(taken);
    }
    sqlx::query("ALTER SYSTEM SET default_transaction_read_only = on").execute(&admin).await?;
    sqlx::query("SELECT pg_reload_conf()").execute(&admin).await?;
    let read_only = "SELECT 1 / (current_setting('transaction_read_only') = 'on')::int";
    until_ready(|| async { sqlx::query(read_only).execute(&admin).await }).await?;
    proxy.lead_to(&backend.address());
    let upkeep = DisableOptions::new(Reason::new("upkeep")?);
    for (client, taken) in clients.iter().zip(leases) {
        let store = client.store();
        // Even the first call reaches the new primary, and no call returns an error.
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
    // The connections for hints also move to the new primary.
    let at_the_old_one = async || -> CaseResult<i64> {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        let count = sqlx::query_scalar(query).bind(namespace.as_str());
        Ok(count.fetch_one(&admin).await?)
    };
    let all_ended = async {
        while at_the_old_one().await? > 0 {
            sleep(Duration::from_millis(100)).await;
        }
        CaseResult::Ok(())
    };
    timeout(LIMIT, all_ended)
        .await
        .map_err(|_| Failure::new("a session stays on the old server"))??;
    drop(watches);
    backend.clean(&namespace).await?;
    Ok(())
}
