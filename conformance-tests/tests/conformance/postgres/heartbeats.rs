//! These cases cover heartbeats beside the application's statements and runtimes.

use std::sync::Arc;
use std::time::Duration;

use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::expect::extended;
use leasehold_conformance::{Backend, CaseResult, Client, Failure, race};
use leasehold_core::{LockStoreExt, ReleaseOutcome};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::timeout;

use super::support::{LONG, fresh, name};
use super::{Postgres, options};

/// This is the limit for every step that has no other time limit.
const LIMIT: Duration = Duration::from_secs(40);

/// The pool itself makes the session settings that make its connections suitable.
pub(super) async fn heartbeats_use_the_pool_while_their_own_connection_is_unusable(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    backend.connect(backend.url(), &namespace).await?;
    let role = backend.user_of_table(&namespace).await?;
    let member = fresh();
    backend
        .execute(format!(
            "CREATE ROLE {member} LOGIN NOINHERIT PASSWORD 'secret'; GRANT {namespace} TO {member}"
        ))
        .await?;
    let read_only = "options=-c%20default_transaction_read_only%3Don";
    let role = role.replace(&format!("//{namespace}:"), &format!("//{member}:"));
    for (url, prepare) in [
        (role, format!("SET ROLE {namespace}")),
        (backend.url_with(read_only), "SET default_transaction_read_only = off".to_owned()),
    ] {
        let pool = PgPoolOptions::new().max_connections(1).after_connect(move |connection, _| {
            let prepare = prepare.clone();
            Box::pin(async move {
                connection.execute(sqlx::raw_sql(AssertSqlSafe(prepare))).await.map(drop)
            })
        });
        let pool = pool.connect(&url).await?;
        let options = options(&namespace, Schema::Require);
        let store = PostgresStore::from_pool(pool.clone(), &options).await?;
        let client = Client::new(Arc::new(store));
        let session = async || -> CaseResult<i32> {
            Ok(sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&pool).await?)
        };
        let taken = client.acquire_free(&name("job"), LONG).await?;
        let before = session().await?;
        // The first renewals notice it at the same time.
        let renewals = (0..3).map(|_| {
            let (client, job, lease) = (client.clone(), taken.name.clone(), taken.lease);
            async move {
                extended(client.store().renew_one(&job, lease, LONG).await?);
                Ok(())
            }
        });
        race(renewals).await?;
        extended(client.store().renew_one(&taken.name, taken.lease, LONG).await?);
        let released = client.store().release(&taken.name, taken.lease).await?;
        assert_eq!(released, ReleaseOutcome::Released);
        assert_eq!(session().await?, before, "the application's connection was closed");
        pool.close().await;
    }
    backend.execute(format!("DROP ROLE {member}")).await?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn heartbeats_do_not_wait_behind_the_applications_statements(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let (pool, client) = backend.on_pool(&namespace, 1, "").await?;
    let job = name("job");
    let taken = client.acquire_free(&job, LONG).await?;
    // This acts like a long statement.
    let busy = pool.acquire().await?;
    let beats = async {
        for _ in 0..3 {
            extended(client.store().renew_one(&job, taken.lease, LONG).await?);
        }
        Ok::<_, Failure>(client.store().release(&job, taken.lease).await?)
    };
    let released = timeout(LIMIT, beats)
        .await
        .map_err(|_| Failure::new("heartbeats wait behind the application's statements"))??;
    assert_eq!(released, ReleaseOutcome::Released);
    drop(busy);
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn heartbeats_survive_the_runtime_that_opened_their_connection(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(&backend.named_url(&namespace), &namespace).await?;
    let job = name("job");
    let taken = client.acquire_free(&job, LONG).await?;
    // One runtime has ended, and the other one is not driven.
    for keep in [false, true] {
        let elsewhere = std::thread::spawn({
            let (client, job, lease) = (client.clone(), job.clone(), taken.lease);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let renewed = runtime.block_on(client.renew(&job, lease, LONG));
                extended(renewed.expect("it is in force"));
                Ok::<_, std::io::Error>(keep.then_some(runtime))
            }
        });
        let kept_runtime = tokio::task::spawn_blocking(|| elsewhere.join()).await?;
        let kept_runtime = kept_runtime.expect("it does not panic")?;
        // A call that waits for another runtime ends with an unknown outcome.
        let renewal = client.renew(&job, taken.lease, LONG).await;
        if let Some(runtime) = kept_runtime {
            runtime.shutdown_background();
        }
        extended(renewal?);
    }
    backend.clean(&namespace).await?;
    Ok(())
}
