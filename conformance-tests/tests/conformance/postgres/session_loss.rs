//! These cases cover sessions that end, and watches that nobody reads or whose pool is closed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::{Backend, CaseResult, Failure};
use leasehold_core::{ErrorKind, LeaseId, ReleaseOutcome};
use tokio::time::{sleep, timeout};

use super::support::{LONG, fresh, name};
use super::{Postgres, options};
use crate::lost_release;

/// This is the limit for every step that has no other time limit.
const LIMIT: Duration = Duration::from_secs(100);

pub(super) async fn a_terminated_session_is_replaced(backend: Arc<Postgres>) -> CaseResult {
    let namespace = fresh();
    let url = backend.url_with(&format!("application_name={namespace}"));
    let client = backend.connect(&url, &namespace).await?;
    let mut hints = client.watch().await?;
    let lease = LeaseId::new();
    for _ in 0..3 {
        granted(client.acquire(&name("job"), lease, LONG).await?);
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE application_name = $1",
        )
        .bind(namespace.as_str())
        .fetch_one(backend.admin())
        .await?;
        assert!(ended > 0, "the store names its sessions");
        sleep(Duration::from_millis(200)).await;
        // The store notices the dead connections one by one.
        let recovery = async {
            while let Err(error) = client.acquire(&name("job"), lease, LONG).await {
                assert!(error.is_transient(), "{error:?}");
            }
        };
        timeout(LIMIT, recovery).await.map_err(|_| Failure::new("it never recovers"))?;
        timeout(LIMIT, hints.next()).await.map_err(|_| Failure::new("the watch is dead"))?;
    }
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_release_on_a_dead_connection_is_sent_again(
    backend: Arc<Postgres>,
) -> CaseResult {
    for own in [true, false] {
        let namespace = fresh();
        let client = if own {
            backend.connect(&backend.named_url(&namespace), &namespace).await?
        } else {
            backend.on_pool(&namespace, 3, "").await?.1
        };
        for renews in [false, true, false] {
            let taken = client.acquire_free(&name("job"), LONG).await?;
            if renews {
                extended(client.renew(&taken.name, taken.lease, LONG).await?);
            }
            backend
                .execute(format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE application_name = '{namespace}'"
                ))
                .await?;
            let all_ended = async {
                while backend.sessions(&namespace).await? > 0 {
                    sleep(Duration::from_millis(20)).await;
                }
                Ok(())
            };
            let all_ended = timeout(LIMIT, all_ended).await;
            all_ended.unwrap_or_else(|_| Err(Failure::new("the sessions do not end")))?;
            let released = client.store().release(&taken.name, taken.lease).await?;
            assert_eq!(released, ReleaseOutcome::Released, "own pool: {own}");
        }
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn a_release_whose_reply_is_lost_has_an_unknown_outcome(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let link = backend.proxied(&namespace).await?;
    let direct = backend.connect(backend.url(), &namespace).await?;
    lost_release::a_release_whose_reply_is_lost_has_an_unknown_outcome(&link, &direct).await?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn an_unread_watch_does_not_fill_the_notification_queue(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let mut unread = client.watch().await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    // This is more than a stream keeps, and more than a socket buffers.
    for _ in 0..4 {
        backend
            .execute(format!(
                "SELECT pg_notify('{namespace}_locks', repeat('x', 200) || n) \
                 FROM generate_series(1, 5000) AS n"
            ))
            .await?;
    }
    client.release_held(&taken).await?;
    let hinted = async { while unread.next().await != Some(leasehold_core::Hint::Anything) {} };
    timeout(LIMIT, hinted)
        .await
        .map_err(|_| Failure::new("the missed changes are not reported"))?;
    let usage = async {
        loop {
            let used: f64 = sqlx::query_scalar("SELECT pg_notification_queue_usage()")
                .fetch_one(backend.admin())
                .await?;
            if used < 0.5 {
                return Ok::<_, sqlx::Error>(());
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LIMIT, usage)
        .await
        .map_err(|_| Failure::new("the server keeps all notifications"))??;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_closed_pool_ends_the_watch(backend: Arc<Postgres>) -> CaseResult {
    let namespace = fresh();
    let store = PostgresStore::connect(backend.url(), &options(&namespace, Schema::Create)).await?;
    let pool = store.pool().clone();
    let client = leasehold_conformance::Client::new(Arc::new(store));
    let mut hints = client.watch().await?;
    timeout(LIMIT, pool.close()).await.map_err(|_| Failure::new("closing hangs"))?;
    let end = async { while hints.next().await.is_some() {} };
    timeout(LIMIT, end).await.map_err(|_| Failure::new("the watch continues"))?;
    assert!(client.watch().await.is_err());
    let error = client.acquire(&name("job"), LeaseId::new(), LONG).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    backend.clean(&namespace).await?;
    Ok(())
}
