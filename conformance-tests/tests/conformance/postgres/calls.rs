//! These cases cover abandoned calls, heartbeats during the application's statements, sessions that
//! end while they are idle, and the number of sessions.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::servers::{Proxy, until_ready};
use leasehold_conformance::{Backend, CaseResult, Client, Failure, race, spawn};
use leasehold_core::{ErrorKind, LeaseId, LockStoreExt, Namespace, ReleaseOutcome};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::{sleep, timeout};

use super::support::{LONG, fresh, name};
use super::{Postgres, options};
use crate::abandoned::{self, Outage};

/// This is the limit for every step that has no other time limit.
const LIMIT: Duration = Duration::from_secs(40);

/// This is more than the sessions of a store, abandoned calls included, and much less than the
/// number of calls.
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
async fn abandon_calls(
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
    timeout(LIMIT, work).await.map_err(|_| Failure::new("the store never works again"))?;
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
        let most = abandon_calls(&backend, &namespace, &client, taken.lease).await?;
        assert!(most <= FEW, "{most} sessions, own pool: {own}");
        let error = waits.join().await?.expect_err("the table is locked");
        if own {
            // The server ends the wait before the call does, but on a busy machine its answer may
            // come too late.
            let kinds = [ErrorKind::Unavailable, ErrorKind::OutcomeUnknown];
            assert!(kinds.contains(&error.kind()), "{error:?}");
        } else {
            // The application's sessions continue to wait.
            let hinted = async {
                loop {
                    let error = client.store().get(&name("held")).await.expect_err("it is locked");
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                    if error.to_string().contains("abandoned calls") {
                        return;
                    }
                }
            };
            timeout(LIMIT, hinted)
                .await
                .map_err(|_| Failure::new("abandoned calls continue to open connections"))?;
        }
        transaction.rollback().await?;
        works_again(&client).await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}

/// Asks for many names at the same time, abandons each call after some time, and returns the
/// largest number of sessions.
async fn abandon_many_calls(
    backend: &Postgres,
    namespace: &Namespace,
    client: &Client,
) -> CaseResult<i64> {
    let calls = (0..200).map(|number| {
        let client = client.clone();
        async move {
            let options = client.options(LeaseId::new(), LONG);
            let (job, limit) = (name(&format!("job {number}")), 400 + number * 20);
            let call = client.store().acquire(&job, &options);
            _ = timeout(Duration::from_millis(limit), call).await;
            Ok(())
        }
    });
    let calls: Vec<_> = calls.collect();
    let asking = spawn(async move { race(calls).await.map(drop) });
    let mut joined = pin!(asking.join());
    let mut most = 0;
    while timeout(Duration::from_millis(20), &mut joined).await.is_err() {
        most = most.max(backend.sessions(namespace).await?);
    }
    Ok(most)
}

pub(super) async fn calls_that_wait_for_a_connection_do_not_fill_the_server(
    backend: Arc<Postgres>,
) -> CaseResult {
    for own in [true, false] {
        let namespace = fresh();
        let client = if own {
            backend.connect(&backend.named_url(&namespace), &namespace).await?
        } else {
            backend.on_pool(&namespace, 4, "").await?.1
        };
        let mut transaction = backend.admin().begin().await?;
        let lock = format!("LOCK TABLE {namespace}_locks IN ACCESS EXCLUSIVE MODE");
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
        let most = abandon_many_calls(&backend, &namespace, &client).await?;
        assert!(most <= FEW, "{most} sessions, own pool: {own}");
        transaction.rollback().await?;
        works_again(&client).await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn abandoned_calls_do_not_count_after_an_outage(
    backend: Arc<Postgres>,
) -> CaseResult {
    let (namespace, server) = (fresh(), backend.address());
    for outage in Outage::ALL {
        let proxy = Proxy::start(&server).await?;
        let url = backend.url().replace(&server, &proxy.address());
        let store = PostgresStore::connect(&url, &options(&namespace, Schema::Create)).await?;
        abandoned::abandoned_calls_do_not_count_after_an_outage(
            Arc::new(store),
            &proxy,
            &server,
            outage,
        )
        .await?;
    }
    backend.clean(&namespace).await?;
    Ok(())
}

/// The pool itself makes the session settings that make its connections suitable.
pub(super) async fn heartbeats_use_the_pool_while_their_own_connection_does_not_serve(
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
        let taken = client.take(&name("job"), LONG).await?;
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
    let taken = client.take(&job, LONG).await?;
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
    let taken = client.take(&job, LONG).await?;
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
            let all_ended = async {
                while backend.sessions(&namespace).await? > 0 {
                    sleep(Duration::from_millis(50)).await;
                }
                Ok::<_, Failure>(())
            };
            timeout(LIMIT, all_ended)
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
            timeout(LIMIT * 2, rest)
                .await
                .map_err(|_| Failure::new("idle connections are not closed"))??;
        }
        backend.clean(&namespace).await?;
    }
    Ok(())
}
