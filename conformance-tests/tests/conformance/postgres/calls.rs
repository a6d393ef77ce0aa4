//! These cases cover calls that are abandoned, which leave no session behind.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::expect::extended;
use leasehold_conformance::{Backend, CaseResult, Client, Failure, race, spawn};
use leasehold_core::{ErrorKind, LeaseId, LockStoreExt, Namespace, ReleaseOutcome};
use leasehold_test_servers::Proxy;
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::timeout;

use super::support::{LONG, fresh, name};
use super::{Postgres, options};
use crate::abandoned::{self, Outage};

/// This is the limit for every step that has no other time limit.
const LIMIT: Duration = Duration::from_secs(40);

/// This is more than the sessions of a store, abandoned calls included, and much less than the
/// number of calls.
const FEW: i64 = 14;

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

pub(super) async fn abandoned_calls_use_a_bounded_number_of_sessions(
    backend: Arc<Postgres>,
) -> CaseResult {
    for own in [true, false] {
        let namespace = fresh();
        let client = if own {
            backend.connect(&backend.named_url(&namespace), &namespace).await?
        } else {
            backend.on_pool(&namespace, 20, "").await?.1
        };
        let taken = client.acquire_free(&name("held"), LONG).await?;
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

pub(super) async fn calls_that_wait_for_a_connection_use_a_bounded_number_of_sessions(
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
