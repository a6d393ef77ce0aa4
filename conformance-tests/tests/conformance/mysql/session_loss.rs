//! These cases cover sessions that end, and watches that nobody reads or whose pool is closed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::{Backend, CaseResult, Client, Failure};
use leasehold_core::{ErrorKind, Hint, LeaseId, LockStoreExt, ReleaseOutcome};
use tokio::time::{sleep, timeout};

use super::support::{LONG, fresh, name};
use super::{MySql, options};
use crate::lost_release;

/// This is the limit for every step that has no other time limit.
const LIMIT: Duration = Duration::from_secs(100);

pub(super) async fn a_killed_session_is_replaced(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    backend.connect(backend.url(), &namespace).await?;
    let url = backend.user_of_table(&namespace).await?;
    let client = backend.connect(&url, &namespace).await?;
    let mut hints = client.watch().await?;
    let lease = LeaseId::new();
    for round in 0..3 {
        granted(client.acquire(&name("job"), lease, LONG).await?);
        let sessions = backend.sessions(&namespace).await?;
        assert!(!sessions.is_empty(), "the store has sessions");
        for (session, _) in sessions {
            // The session may have ended in the meantime.
            _ = backend.execute(format!("KILL {session}")).await;
        }
        // The store notices the dead connections one by one.
        let recovery = async {
            while let Err(error) = client.store().renew_one(&name("job"), lease, LONG).await {
                assert!(error.is_transient(), "{error:?}");
            }
        };
        timeout(LIMIT, recovery).await.map_err(|_| Failure::new("it never recovers"))?;
        // Heartbeats have their own connection. A read notices that the one for calls is dead.
        client.store().get(&name("job")).await?;
        let changed = name(&format!("changed {round}"));
        client.disable(&changed, "upkeep").await?;
        let hinted = async {
            while let Some(hint) = hints.next().await {
                if hint == Hint::Name(changed.clone()) {
                    return;
                }
            }
            panic!("the watch ended");
        };
        timeout(LIMIT, hinted).await.map_err(|_| Failure::new("the watch is dead"))?;
    }
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_release_on_a_dead_connection_is_sent_again(
    backend: Arc<MySql>,
) -> CaseResult {
    let namespace = fresh();
    backend.connect(backend.url(), &namespace).await?;
    let url = backend.user_of_table(&namespace).await?;
    let client = backend.connect(&url, &namespace).await?;
    for renews in [false, true, false] {
        let taken = client.acquire_free(&name("job"), LONG).await?;
        if renews {
            extended(client.renew(&taken.name, taken.lease, LONG).await?);
        }
        backend.kill_sessions(&namespace).await?;
        let released = client.store().release(&taken.name, taken.lease).await?;
        assert_eq!(released, ReleaseOutcome::Released);
    }
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_release_whose_reply_is_lost_has_an_unknown_outcome(
    backend: Arc<MySql>,
) -> CaseResult {
    let namespace = fresh();
    let link = backend.proxied(&namespace).await?;
    let direct = backend.connect(backend.url(), &namespace).await?;
    lost_release::a_release_whose_reply_is_lost_has_an_unknown_outcome(&link, &direct).await?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn an_unread_watch_blocks_no_call(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    // The pool has one connection, so a watch that kept it would block all other calls.
    let pool = sqlx::mysql::MySqlPoolOptions::new().max_connections(1);
    let pool = pool.connect(backend.url()).await?;
    let store = MySqlStore::from_pool(pool, &options(&namespace, Schema::Create)).await?;
    let client = Client::new(Arc::new(store));
    let mut unread = client.watch().await?;
    // The watch is read once, and then left in the middle of a read or of a pause.
    for pause in [1, 160, 190, 230] {
        _ = timeout(Duration::from_millis(pause), unread.next()).await;
        let taken = client.acquire_free(&name("job"), LONG).await?;
        client.release_held(&taken).await?;
    }
    for number in 0..500 {
        let job = name(&format!("job {number}"));
        client.disable(&job, "upkeep").await?;
    }
    // Most changes are older than the interval that a read covers.
    sleep(Duration::from_secs(3)).await;
    let last = name("last");
    client.disable(&last, "upkeep").await?;
    let hinted = async { while unread.next().await != Some(Hint::Name(last.clone())) {} };
    timeout(LIMIT, hinted).await.map_err(|_| Failure::new("the watch is dead"))?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_closed_pool_ends_the_watch(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    backend.connect(backend.url(), &namespace).await?;
    let url = backend.user_of_table(&namespace).await?;
    let store = MySqlStore::connect(&url, &options(&namespace, Schema::Require)).await?;
    let pool = store.pool().clone();
    let client = Client::new(Arc::new(store));
    let mut hints = client.watch().await?;
    client.acquire_free(&name("job"), LONG).await?;
    timeout(LIMIT, pool.close()).await.map_err(|_| Failure::new("closing hangs"))?;
    let end = async { while hints.next().await.is_some() {} };
    timeout(LIMIT, end).await.map_err(|_| Failure::new("the watch continues"))?;
    // Its user-level lock is no longer held, although the store still exists.
    let all_ended = async {
        while !backend.sessions(&namespace).await?.is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
        Ok::<_, Failure>(())
    };
    timeout(LIMIT, all_ended).await.map_err(|_| Failure::new("a connection stays open"))??;
    assert!(client.store().watch().await.is_err());
    let options = client.options(LeaseId::new(), LONG);
    let error = client.store().acquire(&name("job"), &options).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    backend.clean(&namespace).await?;
    Ok(())
}
