//! This case covers which commits wait for a synchronous standby.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::{CaseResult, Failure};
use leasehold_core::{
    DisableOptions, DisableOutcome, EnableOutcome, Hint, LeaseId, LockStoreExt, Presence, Reason,
    ReleaseOutcome, Result,
};
use sqlx::postgres::PgPool;
use tokio::time::timeout;

use super::support::{LONG, fresh, name};
use super::{Postgres, pool, start};

/// This is the limit for every step that has no other time limit.
const LIMIT: Duration = Duration::from_secs(100);

/// Asserts that the commit of a call waits for the standby, and ends that wait.
async fn waits<T>(
    admin: &PgPool,
    what: &str,
    call: impl Future<Output = Result<T>>,
) -> CaseResult<T> {
    let mut call = pin!(call);
    loop {
        if let Ok(ended) = timeout(Duration::from_millis(20), &mut call).await {
            ended?;
            return Err(Failure::new(format!("{what} does not wait for the standby")));
        }
        // The transaction is then committed without the standby.
        let end = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
                   WHERE wait_event = 'SyncRep'";
        let ended: i64 = sqlx::query_scalar(end).fetch_one(admin).await?;
        if ended > 0 {
            return Ok(call.await?);
        }
    }
}

pub(super) async fn a_grant_waits_for_the_standby_and_a_release_does_not(
    backend: Arc<Postgres>,
) -> CaseResult {
    backend.needs("postgres").await?;
    let (_server, url) = start(&[]).await?;
    let (admin, namespace) = (pool(&url)?, fresh());
    let client = backend.connect(&url, &namespace).await?;
    let mut hints = client.watch().await?;
    let store = client.store();
    let [first, second, disabled] = ["first", "second", "disabled"].map(name);
    let kept = client.acquire_free(&first, LONG).await?;
    let given = client.acquire_free(&second, LONG).await?;
    client.disable(&disabled, "upkeep").await?;
    // This standby does not exist.
    let missing = "ALTER SYSTEM SET synchronous_standby_names = 'missing'";
    sqlx::query(missing).execute(&admin).await?;
    sqlx::query("SELECT pg_reload_conf()").execute(&admin).await?;
    // The server follows the setting some time later.
    let granting = async {
        for number in 0.. {
            let options = client.options(LeaseId::new(), LONG);
            let job = name(&format!("job {number}"));
            if let Ok(outcome) = waits(&admin, "a grant", store.acquire(&job, &options)).await {
                granted(outcome);
                break;
            }
        }
    };
    timeout(LIMIT, granting).await.map_err(|_| Failure::new("grants do not wait"))?;
    let renewal = store.renew_one(&kept.name, kept.lease, LONG);
    extended(waits(&admin, "a renewal", renewal).await?);
    let upkeep = DisableOptions::new(Reason::new("upkeep")?);
    let disabling = waits(&admin, "a disable", store.disable(&first, &upkeep)).await?;
    assert_eq!(disabling, DisableOutcome::Disabled);
    let enabling = waits(&admin, "an enable", store.enable(&disabled)).await?;
    assert_eq!(enabling, EnableOutcome::Enabled);
    // These are answered although the standby is missing, and waiters are woken.
    assert_eq!(store.release(&given.name, given.lease).await?, ReleaseOutcome::Released);
    assert_eq!(client.lease_of(&given.name).await?, None);
    let hinted = async {
        let wanted = Hint::Name(given.name.clone());
        while hints.next().await.is_some_and(|hint| hint != wanted) {}
    };
    timeout(LIMIT, hinted).await.map_err(|_| Failure::new("the release causes no hint"))?;
    let presence = Presence::new(client.holder().clone(), vec![first]);
    store.announce(&presence, LONG).await?;
    store.withdraw(presence.holder.instance).await?;
    // The next statement of the same session waits again.
    let options = client.options(LeaseId::new(), LONG);
    granted(waits(&admin, "the next grant", store.acquire(&given.name, &options)).await?);
    Ok(())
}
