//! These cases cover notifications that the server refuses, and a listener whose password changes.

use std::sync::Arc;

use futures_util::StreamExt;
use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::{Backend, CaseResult, Client, Failure};
use leasehold_core::{DisableOutcome, EnableOutcome, Hint, LockStore, ReleaseOutcome};
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::timeout;

use super::support::{LONG, fresh, name};
use super::{Postgres, options, pool, start};

/// Asserts that release, disable and enable work.
async fn assert_changes(client: &Client) -> CaseResult {
    let job = name("job");
    let (taken, store) = (client.acquire_free(&job, LONG).await?, client.store());
    assert_eq!(store.release(&job, taken.lease).await?, ReleaseOutcome::Released);
    assert_eq!(client.lease_of(&job).await?, None);
    assert_eq!(client.disable(&job, "upkeep").await?, DisableOutcome::Disabled);
    assert!(matches!(client.disable(&job, "again").await?, DisableOutcome::AlreadyDisabled(_)));
    assert_eq!(store.enable(&job).await?, EnableOutcome::Enabled);
    assert_eq!(store.enable(&job).await?, EnableOutcome::AlreadyEnabled);
    Ok(())
}

pub(super) async fn changes_succeed_while_the_notification_queue_is_full(
    backend: Arc<Postgres>,
) -> CaseResult {
    backend.needs("postgres").await?;
    let (_server, url) = start(&["-c", "max_notify_queue_pages=64"]).await?;
    let client = backend.connect(&url, &fresh()).await?;
    // A session that listens and stays in a transaction keeps the queue from being emptied.
    let admin = pool(&url)?;
    let mut listener = admin.acquire().await?;
    listener.execute(sqlx::raw_sql("LISTEN filler")).await?;
    let mut reading = sqlx::Connection::begin(&mut *listener).await?;
    (&mut *reading).execute(sqlx::raw_sql("SELECT 1")).await?;
    let fill =
        "SELECT pg_notify('filler', repeat('x', 7000) || n) FROM generate_series(1, 20) AS n";
    let refusal = async {
        loop {
            if let Err(error) = sqlx::raw_sql(fill).execute(&admin).await {
                return error;
            }
        }
    };
    let refusal = timeout(LONG / 2, refusal).await.expect("the queue is full at last");
    let code = refusal.as_database_error().and_then(|error| error.code().map(String::from));
    assert_eq!(code.as_deref(), Some("54000"), "{refusal}");
    assert!(sqlx::raw_sql("NOTIFY small").execute(&admin).await.is_err(), "it is full");
    assert_changes(&client).await
}

pub(super) async fn changes_succeed_without_permission_to_notify(
    backend: Arc<Postgres>,
) -> CaseResult {
    // The permission belongs to the database, and other cases need it.
    let (database, namespace) = (fresh(), fresh());
    backend.execute(format!("CREATE DATABASE {database}")).await?;
    let url = format!("postgres://postgres:secret@{}/{database}", backend.address());
    let admin = pool(&url)?;
    backend.connect(&url, &namespace).await?;
    let script = format!(
        "CREATE ROLE {namespace} LOGIN PASSWORD 'secret'; \
         GRANT SELECT, INSERT, UPDATE ON {namespace}_locks TO {namespace}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON {namespace}_instances TO {namespace}; \
         REVOKE EXECUTE ON FUNCTION pg_notify FROM public"
    );
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&admin).await?;
    let url = url.replace("postgres:secret", &format!("{namespace}:secret"));
    let store = PostgresStore::connect(&url, &options(&namespace, Schema::Require)).await?;
    assert_changes(&Client::new(Arc::new(store.clone()))).await?;
    store.pool().close().await;
    backend.execute(format!("DROP DATABASE {database} WITH (FORCE)")).await?;
    backend.execute(format!("DROP ROLE {namespace}")).await?;
    Ok(())
}

pub(super) async fn the_listener_uses_the_current_password_of_the_pool(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let operator = backend.connect(backend.url(), &namespace).await?;
    let pool = pool(&backend.user_of_table(&namespace).await?)?;
    let create = options(&namespace, Schema::Require);
    let store = PostgresStore::from_pool(pool.clone(), &create).await?;
    let mut hints = store.watch().await?;
    let job = name("job");
    // A watch that cannot listen sends `Hint::Anything`.
    let hinted = async |hints: &mut leasehold_core::HintStream| {
        let wait = async {
            loop {
                operator.release_held(&operator.acquire_free(&job, LONG).await?).await?;
                if hints.next().await == Some(Hint::Name(job.clone())) {
                    return Ok::<_, Failure>(());
                }
            }
        };
        timeout(LONG / 2, wait).await.map_err(|_| Failure::new("the watch does not listen"))?
    };
    hinted(&mut hints).await?;
    backend.execute(format!("ALTER ROLE {namespace} PASSWORD 'rotated'")).await?;
    pool.set_connect_options(pool.connect_options().as_ref().clone().password("rotated"));
    backend
        .execute(format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{namespace}'"
        ))
        .await?;
    // The notifications of the old session come first.
    while timeout(std::time::Duration::from_millis(100), hints.next())
        .await
        .is_ok_and(|hint| hint != Some(Hint::Anything))
    {}
    hinted(&mut hints).await?;
    store.pool().close().await;
    backend.execute(format!("DROP OWNED BY {namespace}")).await?;
    backend.clean(&namespace).await?;
    Ok(())
}
