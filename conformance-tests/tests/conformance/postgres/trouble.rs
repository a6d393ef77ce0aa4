//! A server that stops, hangs, is slow, or ends sessions.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::postgres::PostgresStore;
use leasehold::{OpenOptions, Schema};
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::servers::Conduct;
use leasehold_conformance::{Backend, CaseResult, Failure, Link};
use leasehold_core::{Client as Engine, ErrorKind, Guard, LeaseId, Settings};
use tokio::time::{sleep, timeout};

use super::own::{LONG, fresh, name};
use super::{Postgres, options, ready, start};

/// As long as anything may take that has no time of its own.
const PATIENCE: Duration = Duration::from_secs(40);

async fn engine(url: &str) -> CaseResult<Engine> {
    Ok(Engine::new(PostgresStore::connect(url, &OpenOptions::default()).await?)?)
}

/// Tries until it is had: the first calls may meet dead connections.
async fn take(engine: &Engine, lock: &str, settings: &Settings) -> CaseResult<Guard> {
    let taking = async {
        loop {
            match engine.lock(lock)?.settings(settings)?.acquire(PATIENCE).await {
                Ok(guard) => return Ok(guard),
                Err(error) if error.is_transient() => sleep(Duration::from_millis(200)).await,
                Err(error) => return Err(error.into()),
            }
        }
    };
    timeout(PATIENCE, taking).await.unwrap_or_else(|_| Err(Failure::new("it is never had")))
}

pub(super) async fn a_restart_is_survived(backend: Arc<Postgres>) -> CaseResult {
    if !backend.has("postgres").await {
        eprintln!("postgres: a server that is given by URL is not stopped");
        return Ok(());
    }
    let (server, url) = start(&[]).await?;
    let (holder, other) = (engine(&url).await?, engine(&url).await?);
    // One lease outlasts the restart, the other does not.
    let long = Settings::new().ttl(Duration::from_secs(60));
    let short = Settings::new().ttl(Duration::from_secs(4));
    let kept = take(&holder, "kept", &long).await?;
    let lost = take(&holder, "lost", &short).await?;
    let mut hints = other.store().watch().await?;
    server.stop().await?;
    timeout(PATIENCE, lost.lost()).await.map_err(|_| Failure::new("its loss is never told"))?;
    assert!(!lost.is_held(), "it is lost");
    assert!(kept.is_held(), "60 s are not over");
    server.start_again().await?;
    ready(&url).await?;
    // The same clients go on.
    let next = take(&other, "lost", &short).await?;
    assert!(next.token() > lost.token());
    assert!(next.is_held() && !lost.is_held());
    let kept_token = kept.token();
    kept.release().await.or_else(|error| if error.is_transient() { Ok(()) } else { Err(error) })?;
    let next = take(&other, "kept", &Settings::new().ttl(Duration::from_secs(60))).await?;
    assert!(next.token() > kept_token);
    // And so does the watch, which knows that it missed something.
    timeout(PATIENCE, hints.next()).await.map_err(|_| Failure::new("the watch is dead"))?;
    Ok(())
}

pub(super) async fn a_frozen_server_ends_calls_and_trust(backend: Arc<Postgres>) -> CaseResult {
    if !backend.has("postgres").await {
        eprintln!("postgres: a server that is given by URL is not stopped");
        return Ok(());
    }
    let (server, url) = start(&[]).await?;
    let holder = engine(&url).await?;
    let guard = take(&holder, "job", &Settings::new().ttl(Duration::from_secs(5))).await?;
    server.freeze().await?;
    let options = leasehold_core::AcquireOptions {
        lease: LeaseId::new(),
        holder: holder.holder().clone(),
        ttl: LONG,
    };
    let asked = timeout(PATIENCE, holder.store().acquire(&name("other"), &options)).await;
    let asked = asked.map_err(|_| Failure::new("a call to a frozen server never ends"))?;
    let error = asked.expect_err("nobody answers");
    assert!(error.is_transient(), "{error:?}");
    timeout(PATIENCE, guard.lost()).await.map_err(|_| Failure::new("its loss is never told"))?;
    assert!(!guard.is_held());
    server.resume().await?;
    ready(&url).await?;
    let again = take(&holder, "job", &Settings::new()).await?;
    assert!(again.token() > guard.token());
    granted(holder.store().acquire(&name("other"), &options).await?);
    Ok(())
}

pub(super) async fn a_slow_server_is_waited_for(backend: Arc<Postgres>) -> CaseResult {
    let namespace = fresh();
    let link = backend.proxied(&namespace).await?;
    link.proxy.set(Conduct::Slow(Duration::from_millis(150)));
    let client = leasehold_conformance::Client::new(link.store());
    let taken = client.take(&name("job"), LONG).await?;
    extended(client.renew(&taken.name, taken.lease, LONG).await?);
    client.give_back(&taken).await?;
    // And one that is too slow is given up.
    link.proxy.set(Conduct::Slow(Duration::from_secs(60)));
    let call = timeout(PATIENCE, client.acquire(&name("job"), LeaseId::new(), LONG)).await;
    let error = call.map_err(|_| Failure::new("it never ends"))?.expect_err("it is too slow");
    assert!(error.is_transient(), "{error:?}");
    backend.clean(&namespace).await?;
    Ok(())
}

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
        // The dead connections are found out one by one.
        let recovery = async {
            while let Err(error) = client.acquire(&name("job"), lease, LONG).await {
                assert!(error.is_transient(), "{error:?}");
            }
        };
        timeout(PATIENCE, recovery).await.map_err(|_| Failure::new("it never recovers"))?;
        timeout(PATIENCE, hints.next()).await.map_err(|_| Failure::new("the watch is dead"))?;
    }
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_watch_that_nobody_reads_does_no_harm(backend: Arc<Postgres>) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let mut unread = client.watch().await?;
    let taken = client.take(&name("job"), LONG).await?;
    // More than a stream is kept, and more than a socket holds.
    for _ in 0..4 {
        backend
            .execute(format!(
                "SELECT pg_notify('{namespace}_locks', repeat('x', 200) || n) \
                 FROM generate_series(1, 5000) AS n"
            ))
            .await?;
    }
    client.give_back(&taken).await?;
    let told = async { while unread.next().await != Some(leasehold_core::Hint::Anything) {} };
    timeout(PATIENCE, told).await.map_err(|_| Failure::new("what was missed is not told"))?;
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
    timeout(PATIENCE, usage).await.map_err(|_| Failure::new("the server keeps them all"))??;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_closed_pool_ends_the_watch(backend: Arc<Postgres>) -> CaseResult {
    let namespace = fresh();
    let store = PostgresStore::connect(backend.url(), &options(&namespace, Schema::Create)).await?;
    let pool = store.pool().clone();
    let client = leasehold_conformance::Client::new(Arc::new(store));
    let mut hints = client.watch().await?;
    timeout(PATIENCE, pool.close()).await.map_err(|_| Failure::new("closing hangs"))?;
    let end = async { while hints.next().await.is_some() {} };
    timeout(PATIENCE, end).await.map_err(|_| Failure::new("the watch goes on"))?;
    assert!(client.watch().await.is_err());
    let error = client.acquire(&name("job"), LeaseId::new(), LONG).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    backend.clean(&namespace).await?;
    Ok(())
}
