//! These cases cover a switch-over after which the old primary still runs but accepts no writes.

use std::sync::Arc;
use std::time::Duration;

use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::expect::{granted, held, lost};
use leasehold_conformance::{Backend, CaseResult, Client, Failure, race};
use leasehold_core::{DisableOptions, LeaseId, LockStoreExt, Reason};
use leasehold_test_servers::{Proxy, until_ready};
use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlPoolOptions;
use tokio::time::{sleep, timeout};

use super::support::{LONG, fresh, name};
use super::{MySql, options, pool, start};

/// This is the limit for every step that has no other time limit.
const LIMIT: Duration = Duration::from_secs(100);

pub(super) async fn the_first_call_after_a_switchover_follows_the_address(
    backend: Arc<MySql>,
) -> CaseResult {
    backend.may_start_servers()?;
    let (old, old_url) = start(backend.image, &[]).await?;
    let (admin, namespace) = (pool(&old_url)?, fresh());
    // Both servers have the same table and user. The user may not write while `read_only` is on.
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
    let own = until_ready(|| MySqlStore::connect(&url, &options)).await?;
    let application = MySqlPoolOptions::new().max_connections(4).test_before_acquire(false);
    let application = application.connect(&url).await?;
    let on_pool = until_ready(|| MySqlStore::from_pool(application.clone(), &options)).await?;
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
    // Each client waits for the other's release.
    for (client, other) in clients.iter().zip(leases.iter().rev()) {
        held(client.acquire(&other.name, LeaseId::new(), LONG).await?);
    }
    sqlx::raw_sql("SET GLOBAL read_only = 1").execute(&admin).await?;
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
        // While the name is held, a connection can announce its release.
        client.acquire_free(&taken.name, LONG).await?;
    }
    // The connections for user-level locks also move to the new primary.
    let at_the_old_one = async || -> CaseResult<i64> {
        let query = format!("SELECT COUNT(*) FROM {} WHERE user = ?", backend.process_list());
        let count = sqlx::query_scalar(AssertSqlSafe(query)).bind(namespace.as_str());
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
