//! Abandoned calls, heartbeats beside the application's statements, sessions that end while they
//! are idle, and the number of sessions.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::servers::until_ready;
use leasehold_conformance::{Backend, CaseResult, Client, Failure, race, spawn};
use leasehold_core::{ErrorKind, LeaseId, LockStoreExt, Namespace, ReleaseOutcome};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::{sleep, timeout};

use super::own::{LONG, fresh, name};
use super::{Postgres, options};

/// The limit for everything that has no time limit of its own.
const PATIENCE: Duration = Duration::from_secs(40);

/// More than the sessions of a store, abandoned calls included, and far fewer than the calls that
/// are made.
const FEW: i64 = 14;

impl Postgres {
    /// Returns the number of sessions with that name.
    async fn sessions(&self, application: &Namespace) -> CaseResult<i64> {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        let count = sqlx::query_scalar(query).bind(application.as_str());
        Ok(count.fetch_one(self.admin()).await?)
    }

    /// Returns a URL that names the sessions after the namespace.
    fn named_url(&self, namespace: &Namespace) -> String {
        self.url_with(&format!("application_name={namespace}"))
    }

    /// Opens a store on an application's pool, whose sessions are named after the namespace.
    async fn on_pool(
        &self,
        namespace: &Namespace,
        most: u32,
        option: &str,
    ) -> CaseResult<(PgPool, Client)> {
        let url = format!("{}{option}", self.named_url(namespace));
        let pool = PgPoolOptions::new().max_connections(most).test_before_acquire(false);
        let pool = pool.connect(&url).await?;
        let options = options(namespace, Schema::Create);
        let store = PostgresStore::from_pool(pool.clone(), &options).await?;
        Ok((pool, Client::new(Arc::new(store))))
    }
}

/// Makes many calls that are abandoned, and returns the largest number of sessions.
async fn give_calls_up(
    backend: &Postgres,
    namespace: &Namespace,
    client: &Client,
    lease: LeaseId,
) -> CaseResult<i64> {
    let mut most = 0;
    for round in 0..40 {
        let (other, held) = (name(&format!("job {round}")), name("held"));
        let options = client.options(LeaseId::new(), LONG);
        let calls = async {
            tokio::join!(
                client.store().acquire(&other, &options),
                client.store().renew_one(&held, lease, LONG),
                client.store().get(&held),
            )
        };
        _ = timeout(Duration::from_millis(100), calls).await;
        most = most.max(backend.sessions(namespace).await?);
    }
    Ok(most)
}

async fn works_again(client: &Client) -> CaseResult {
    let lease = LeaseId::new();
    let options = client.options(lease, LONG);
    let (job, store) = (name("afterwards"), client.store());
    let work = async { while store.acquire(&job, &options).await.is_err() {} };
    timeout(PATIENCE, work).await.map_err(|_| Failure::new("the store never works again"))?;
    extended(client.renew(&job, lease, LONG).await?);
    assert_eq!(client.release(&job, lease).await?, ReleaseOutcome::Released);
    Ok(())
}

pub(super) async fn calls_that_are_given_up_do_not_fill_the_server(
    backend: Arc<Postgres>,
) -> CaseResult {
    for own in [true, false] {
        let namespace = fresh();
        let client = if own {
            backend.connect(&backend.named_url(&namespace), &namespace).await?
        } else {
            backend.on_pool(&namespace, 20, "").await?.1
        };
        let taken = client.take(&name("held"), LONG).await?;
        let mut transaction = backend.admin().begin().await?;
        let lock = format!("LOCK TABLE {namespace}_locks IN ACCESS EXCLUSIVE MODE");
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
        let waits = spawn({
            let (client, job) = (client.clone(), name("waits"));
            async move {
                let options = client.options(LeaseId::new(), LONG);
                Ok(client.store().acquire(&job, &options).await)
            }
        });
        let most = give_calls_up(&backend, &namespace, &client, taken.lease).await?;
        assert!(most <= FEW, "{most} sessions, own pool: {own}");
        let error = waits.join().await?.expect_err("the table is locked");
        if own {
            // The server ended the wait before the call did, so nothing was done.
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        } else {
            // The application's sessions continue to wait.
            let told = async {
                loop {
                    let error = client.store().get(&name("held")).await.expect_err("it is locked");
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                    if error.to_string().contains("were given up") {
                        return;
                    }
                }
            };
            timeout(PATIENCE, told)
                .await
                .map_err(|_| Failure::new("abandoned calls continue to open connections"))?;
        }
        transaction.rollback().await?;
        works_again(&client).await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn heartbeats_do_not_wait_behind_the_applications_statements(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let (pool, client) = backend.on_pool(&namespace, 1, "").await?;
    let job = name("job");
    let taken = client.take(&job, LONG).await?;
    // This acts like a long statement.
    let busy = pool.acquire().await?;
    let beats = async {
        for _ in 0..3 {
            extended(client.store().renew_one(&job, taken.lease, LONG).await?);
        }
        Ok::<_, Failure>(client.store().release(&job, taken.lease).await?)
    };
    let released = timeout(PATIENCE, beats)
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
    let taken = client.take(&job, LONG).await?;
    // One runtime is gone, and another one is not driven.
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
        let standing = tokio::task::spawn_blocking(|| elsewhere.join()).await?;
        let standing = standing.expect("it does not panic")?;
        // A call that waits for another runtime ends with an unknown outcome.
        let renewal = client.renew(&job, taken.lease, LONG).await;
        if let Some(runtime) = standing {
            runtime.shutdown_background();
        }
        extended(renewal?);
    }
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn sessions_that_end_while_idle_cost_no_call(
    backend: Arc<Postgres>,
) -> CaseResult {
    // Both have three sessions, which the server ends after a short idle time.
    let ends = "&options=-c%20idle_session_timeout%3D300";
    for own in [true, false] {
        let namespace = fresh();
        let client = if own {
            let url = format!("{}{ends}", backend.named_url(&namespace));
            until_ready(|| backend.connect(&url, &namespace)).await?
        } else {
            until_ready(|| backend.on_pool(&namespace, 3, ends)).await?.1
        };
        let job = name("job");
        let taken = client.take(&job, LONG).await?;
        for _ in 0..2 {
            race((0..3).map(|_| {
                let client = client.clone();
                async move {
                    client.store().list_all("").await?;
                    client.disable(&name("other"), "upkeep").await?;
                    Ok(())
                }
            }))
            .await?;
            extended(client.renew(&job, taken.lease, LONG).await?);
            let gone = async {
                while backend.sessions(&namespace).await? > 0 {
                    sleep(Duration::from_millis(50)).await;
                }
                Ok::<_, Failure>(())
            };
            timeout(PATIENCE, gone)
                .await
                .map_err(|_| Failure::new("the idle sessions do not end"))??;
            let store = client.store();
            store.acquire(&job, &client.options(taken.lease, LONG)).await.map(granted)?;
            extended(store.renew_one(&job, taken.lease, LONG).await?);
            store.get(&job).await?;
            store.enable(&name("other")).await?;
        }
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn connections_are_few_and_given_back(backend: Arc<Postgres>) -> CaseResult {
    for most in [1, 3] {
        let namespace = fresh();
        let mut options = options(&namespace, Schema::Create);
        options.max_connections = NonZeroU32::new(most);
        let store = PostgresStore::connect(&backend.named_url(&namespace), &options).await?;
        let client = Client::new(Arc::new(store));
        let _hints = client.watch().await?;
        let taken = client.take(&name("job"), LONG).await?;
        // Calls one after the other need no second connection.
        for _ in 0..20 {
            client.get(&taken.name).await?;
            extended(client.renew(&taken.name, taken.lease, LONG).await?);
        }
        let sessions = backend.sessions(&namespace).await?;
        assert!(sessions <= 5, "{sessions}: opening, calls, heartbeats, hints and their test");
        race((0..50).map(|_| {
            let (client, job) = (client.clone(), taken.name.clone());
            async move { client.get(&job).await.map(drop).map_err(Failure::from) }
        }))
        .await?;
        let sessions = backend.sessions(&namespace).await?;
        assert!(sessions <= i64::from(most) + 5, "{sessions}: at most {most} for calls");
        // An idle holder has connections for heartbeats and for hints.
        let rest = async {
            while backend.sessions(&namespace).await? > 2 {
                sleep(Duration::from_millis(300)).await;
            }
            Ok::<_, Failure>(())
        };
        if most > 1 {
            timeout(PATIENCE * 2, rest)
                .await
                .map_err(|_| Failure::new("idle connections are not closed"))??;
        }
        backend.clean(&namespace).await?;
    }
    Ok(())
}
