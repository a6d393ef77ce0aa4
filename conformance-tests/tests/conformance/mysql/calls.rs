//! These cases cover abandoned calls, heartbeats during the application's statements, sessions that
//! end while they are idle, and the number of sessions.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::{Backend, CaseResult, Client, Failure, race, spawn};
use leasehold_core::{
    DisableOptions, ErrorKind, LeaseId, LockStoreExt, Namespace, Reason, ReleaseOutcome,
};
use leasehold_test_servers::{LinkBehaviour, Proxy};
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::{sleep, timeout};

use super::support::{LONG, fresh, name};
use super::{MySql, options};
use crate::abandoned::{self, Outage};

/// This is the limit for every step that has no other time limit.
const LIMIT: Duration = Duration::from_secs(40);

/// This is the default.
const TTL: Duration = Duration::from_secs(15);

/// This is more than the sessions of a store, abandoned calls included, and much less than the
/// number of calls.
const FEW: usize = 16;

/// This is an idle time after which a connection is tested before it is used.
const IDLE: Duration = Duration::from_millis(2200);

/// Opens a store on an application's pool.
async fn on_pool(
    url: &str,
    namespace: &Namespace,
    most: u32,
    setting: &'static str,
) -> CaseResult<(MySqlPool, Client)> {
    let pool = MySqlPoolOptions::new().max_connections(most).test_before_acquire(false);
    let pool = pool.after_connect(move |connection, _| {
        Box::pin(async move { connection.execute(setting).await.map(drop) })
    });
    let pool = pool.connect(url).await?;
    let store = MySqlStore::from_pool(pool.clone(), &options(namespace, Schema::Require)).await?;
    Ok((pool, Client::new(Arc::new(store))))
}

impl MySql {
    /// Creates a namespace with its tables, and a user whose name identifies the sessions; returns
    /// the user's URL.
    async fn with_user(&self) -> CaseResult<(Namespace, String)> {
        let namespace = fresh();
        self.connect(self.url(), &namespace).await?;
        let url = self.user_of_table(&namespace).await?;
        Ok((namespace, url))
    }

    pub(super) async fn kill_sessions(&self, user: &Namespace) -> CaseResult {
        let all_ended = async {
            loop {
                let sessions = self.sessions(user).await?;
                if sessions.is_empty() {
                    return Ok::<_, Failure>(());
                }
                for (session, _) in sessions {
                    // The session may have ended already, and another one may have begun.
                    _ = self.execute(format!("KILL {session}")).await;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, all_ended)
            .await
            .map_err(|_| Failure::new("the killed sessions do not end"))?
    }
}

/// Makes many calls that are abandoned, and returns the largest number of sessions.
async fn abandon_calls(
    backend: &MySql,
    namespace: &Namespace,
    client: &Client,
    lease: LeaseId,
) -> CaseResult<usize> {
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
        most = most.max(backend.sessions(namespace).await?.len());
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
    backend: Arc<MySql>,
) -> CaseResult {
    for own in [true, false] {
        let (namespace, url) = backend.with_user().await?;
        let client = if own {
            backend.connect(&url, &namespace).await?
        } else {
            on_pool(&url, &namespace, 20, "DO 0").await?.1
        };
        let taken = client.acquire_free(&name("held"), LONG).await?;
        let mut locking = backend.admin().acquire().await?.detach();
        let lock = AssertSqlSafe(format!("LOCK TABLES {namespace}_locks WRITE"));
        locking.execute(sqlx::raw_sql(lock)).await?;
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
        locking.execute("UNLOCK TABLES").await?;
        works_again(&client).await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}

/// Asks for many names at the same time, abandons each call after some time, and returns the
/// largest number of sessions.
async fn abandon_many_calls(
    backend: &MySql,
    namespace: &Namespace,
    client: &Client,
) -> CaseResult<usize> {
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
        most = most.max(backend.sessions(namespace).await?.len());
    }
    Ok(most)
}

pub(super) async fn calls_that_wait_for_a_connection_use_a_bounded_number_of_sessions(
    backend: Arc<MySql>,
) -> CaseResult {
    for own in [true, false] {
        let (namespace, url) = backend.with_user().await?;
        let client = if own {
            backend.connect(&url, &namespace).await?
        } else {
            on_pool(&url, &namespace, 4, "DO 0").await?.1
        };
        let mut locking = backend.admin().acquire().await?.detach();
        let lock = AssertSqlSafe(format!("LOCK TABLES {namespace}_locks WRITE"));
        locking.execute(sqlx::raw_sql(lock)).await?;
        let most = abandon_many_calls(&backend, &namespace, &client).await?;
        assert!(most <= FEW, "{most} sessions, own pool: {own}");
        locking.execute("UNLOCK TABLES").await?;
        works_again(&client).await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn abandoned_calls_do_not_count_after_an_outage(
    backend: Arc<MySql>,
) -> CaseResult {
    let (namespace, server) = (fresh(), backend.address());
    for outage in Outage::ALL {
        let proxy = Proxy::start(&server).await?;
        let url = backend.url().replace(&server, &proxy.address());
        let store = MySqlStore::connect(&url, &options(&namespace, Schema::Create)).await?;
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

/// The answer to an acquire is lost after the server has committed it, and the store sends the
/// acquire again on another connection. The holder must have the token that was granted first,
/// because others may have seen it.
pub(super) async fn a_grant_whose_reply_is_lost_keeps_its_token(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    let link = backend.proxied(&namespace).await?;
    let direct = backend.connect(backend.url(), &namespace).await?;
    let client = Client::new(link.store.clone());
    // From here on the statements are prepared.
    client.acquire_free(&name("other"), LONG).await?;
    let job = name("job");
    link.proxy.set(LinkBehaviour::SwallowReplies);
    let acquiring = spawn({
        let (client, job) = (client.clone(), job.clone());
        async move {
            let options = client.options(LeaseId::new(), LONG);
            Ok(client.store().acquire(&job, &options).await?)
        }
    });
    let committed = async {
        loop {
            if let Some(token) = direct.get(&job).await?.and_then(|record| record.token) {
                return Ok::<_, Failure>(token);
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let first = timeout(LIMIT, committed).await;
    let first = first.map_err(|_| Failure::new("the acquire does not arrive"))??;
    // The connection ends, and new ones work.
    link.proxy.set(LinkBehaviour::Pass);
    let grant = granted(acquiring.join().await?);
    assert_eq!(grant.token, first);
    assert_eq!(direct.get(&job).await?.and_then(|record| record.token), Some(first));
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn heartbeats_do_not_wait_behind_the_applications_statements(
    backend: Arc<MySql>,
) -> CaseResult {
    let (namespace, url) = backend.with_user().await?;
    let (pool, client) = on_pool(&url, &namespace, 1, "DO 0").await?;
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

pub(super) async fn sessions_that_end_while_idle_fail_no_call(backend: Arc<MySql>) -> CaseResult {
    let upkeep = DisableOptions::new(Reason::new("upkeep")?);
    for own in [true, false] {
        let (namespace, url) = backend.with_user().await?;
        let client = if own {
            backend.connect(&url, &namespace).await?
        } else {
            on_pool(&url, &namespace, 3, "SET wait_timeout = 1").await?.1
        };
        let job = name("job");
        let taken = client.acquire_free(&job, LONG).await?;
        for _ in 0..2 {
            race((0..3).map(|_| {
                let client = client.clone();
                async move { client.store().list_all("").await.map(drop).map_err(Failure::from) }
            }))
            .await?;
            let store = client.store();
            extended(store.renew_one(&job, taken.lease, LONG).await?);
            sleep(IDLE).await;
            backend.kill_sessions(&namespace).await?;
            granted(store.acquire(&job, &client.options(taken.lease, LONG)).await?);
            extended(store.renew_one(&job, taken.lease, LONG).await?);
            store.get(&job).await?;
            if own {
                // A call that may not be sent twice is sent on a connection that was tested.
                sleep(IDLE).await;
                backend.kill_sessions(&namespace).await?;
                store.disable(&name("other"), &upkeep).await?;
                store.enable(&name("other")).await?;
                // A release is sent again, and its second answer could not be known to be right. So
                // a renewal notices first that the connection for heartbeats is dead.
                extended(store.renew_one(&job, taken.lease, LONG).await?);
                assert_eq!(store.release(&job, LeaseId::new()).await?, ReleaseOutcome::NotHeld);
            }
        }
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn connections_are_bounded_and_closed_when_idle(
    backend: Arc<MySql>,
) -> CaseResult {
    for most in [1, 3] {
        let (namespace, url) = backend.with_user().await?;
        let mut options = options(&namespace, Schema::Require);
        options.max_connections = NonZeroU32::new(most);
        let client = Client::new(Arc::new(MySqlStore::connect(&url, &options).await?));
        // The reads of a watch need no connection of their own.
        let _hints = client.watch().await?;
        let taken = client.acquire_free(&name("job"), LONG).await?;
        // Calls one after the other need no second connection.
        for _ in 0..20 {
            client.get(&taken.name).await?;
            extended(client.renew(&taken.name, taken.lease, LONG).await?);
        }
        let sessions = backend.sessions(&namespace).await?.len();
        assert!(sessions <= 4, "{sessions}: opening, calls, heartbeats and hints");
        race((0..50).map(|_| {
            let (client, job) = (client.clone(), taken.name.clone());
            async move { client.get(&job).await.map(drop).map_err(Failure::from) }
        }))
        .await?;
        let sessions = backend.sessions(&namespace).await?.len();
        assert!(sessions <= most as usize + 4, "{sessions}: at most {most} for calls");
        // An idle holder has connections for heartbeats and for hints.
        let rest = async {
            while backend.sessions(&namespace).await?.len() > 2 {
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

/// A candidate makes its calls about once per ttl, and does not connect for each of them.
pub(super) async fn a_connection_outlives_a_pause_of_one_ttl(backend: Arc<MySql>) -> CaseResult {
    let (namespace, url) = backend.with_user().await?;
    let store = MySqlStore::connect(&url, &options(&namespace, Schema::Require)).await?;
    let client = Client::new(Arc::new(store));
    let session = async || -> CaseResult<Option<i64>> {
        client.get(&name("job")).await?;
        let sessions = backend.sessions(&namespace).await?;
        Ok(sessions.first().map(|(session, _)| *session))
    };
    let before = session().await?;
    assert!(before.is_some(), "the call left no session");
    sleep(TTL).await;
    assert_eq!(session().await?, before, "the call used another session");
    backend.clean(&namespace).await?;
    Ok(())
}
