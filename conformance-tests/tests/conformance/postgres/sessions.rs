//! These cases cover the number of sessions, and sessions that end while they are idle.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::{Backend, CaseResult, Client, Failure, race};
use leasehold_core::election::{Leadership, job_fn};
use leasehold_core::{Client as Engine, LockStoreExt, ReleaseOutcome, Settings};
use leasehold_test_servers::until_ready;
use sqlx::postgres::PgPoolOptions;
use tokio::time::{sleep, timeout};

use super::support::{LONG, fresh, name};
use super::{Postgres, options};
use crate::broken::broken;

/// This is the limit for every step that has no other time limit.
const LIMIT: Duration = Duration::from_secs(40);

/// A lease lasts this long.
const SHORT: Duration = Duration::from_secs(6);

/// An idle process keeps its number of sessions for this many reads, with that pause.
const STEADY: (u32, Duration) = (50, Duration::from_millis(300));

pub(super) async fn sessions_that_end_while_idle_fail_no_call(
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
        let taken = client.acquire_free(&job, LONG).await?;
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

/// sqlx closes a connection that it tests for a caller that no longer waits, so a release must not
/// give up waiting for the pool whenever another connection is free first.
pub(super) async fn a_busy_pool_keeps_its_connections(backend: Arc<Postgres>) -> CaseResult {
    const MOST: usize = 4;
    let (namespace, opened) = (fresh(), Arc::new(AtomicUsize::new(0)));
    let counter = opened.clone();
    let pool = PgPoolOptions::new().max_connections(4).after_connect(move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(()) })
    });
    let pool = pool.connect(&backend.named_url(&namespace)).await.map_err(broken)?;
    let store = PostgresStore::from_pool(pool, &options(&namespace, Schema::Create)).await?;
    let client = Client::new(Arc::new(store));
    race((0..32).map(|number| {
        let (client, job) = (client.clone(), name(&format!("job {number}")));
        async move {
            for _ in 0..20 {
                let taken = client.acquire_free(&job, LONG).await?;
                assert_eq!(client.release(&job, taken.lease).await?, ReleaseOutcome::Released);
            }
            Ok(())
        }
    }))
    .await?;
    let opened = opened.load(Ordering::Relaxed);
    assert!(opened <= MOST, "the pool of {MOST} connections opened {opened}");
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn connections_are_bounded_and_closed_when_idle(
    backend: Arc<Postgres>,
) -> CaseResult {
    for most in [1, 3] {
        let namespace = fresh();
        let mut options = options(&namespace, Schema::Create);
        options.max_connections = NonZeroU32::new(most);
        let store = PostgresStore::connect(&backend.named_url(&namespace), &options).await?;
        let client = Client::new(Arc::new(store));
        let _hints = client.watch().await?;
        let taken = client.acquire_free(&name("job"), LONG).await?;
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

pub(super) async fn an_acquire_and_its_release_share_a_session(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(&backend.named_url(&namespace), &namespace).await?;
    // The sessions that opened the store end some time later.
    let shared = async {
        loop {
            let taken = client.acquire_free(&name("job"), LONG).await?;
            client.release_held(&taken).await?;
            if backend.sessions(&namespace).await? == 1 {
                return Ok(());
            }
        }
    };
    let shared = timeout(LIMIT, shared).await;
    shared.unwrap_or_else(|_| Err(Failure::new("a pair of calls uses two sessions")))?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_leader_that_also_waits_has_two_sessions(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let options = options(&namespace, Schema::Create);
    let other = PostgresStore::connect(backend.url(), &options).await?;
    // The candidate asks again whenever this lease would expire, which is more often than an idle
    // connection is closed.
    let other = Engine::builder(Arc::new(other)).settings(Settings::new().ttl(SHORT)).build()?;
    let taken = other.lock("taken")?.acquire(LIMIT).await?;
    let store = PostgresStore::connect(&backend.named_url(&namespace), &options).await?;
    let engine = Engine::new(store)?;
    let campaign = |name: &str| -> CaseResult<_> {
        let job = job_fn(|leadership: Leadership| async move {
            leadership.cancelled().await;
            Ok(())
        });
        Ok(engine.election(name)?.spawn(job))
    };
    let (led, waiting) = (campaign("led")?, campaign("taken")?);
    let idle = async {
        let mut reads = 0;
        while reads < STEADY.0 {
            sleep(STEADY.1).await;
            let leads = led.status().is_leading();
            let sessions = backend.sessions(&namespace).await?;
            reads = if leads && sessions <= 2 { reads + 1 } else { 0 };
        }
        Ok(())
    };
    let idle = timeout(LIMIT * 3, idle).await;
    idle.unwrap_or_else(|_| Err(Failure::new("an idle process has more than two sessions")))?;
    for election in [led, waiting] {
        election.shutdown().await;
    }
    drop(taken);
    backend.clean(&namespace).await?;
    Ok(())
}
