//! These cases cover user-level locks, which wake a waiter at once, and which do no harm if they
//! do not wake it.
//!
//! While a user-level lock will announce a release, a watch reads rarely by itself. If its clock is
//! stopped, it does not do so at all, so that only the user-level lock can wake it, however long
//! that takes on a busy machine.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::mysql::MySqlStore;
use leasehold::{Client as Locks, Schema};
use leasehold_conformance::expect::held;
use leasehold_conformance::{Backend, CaseResult, Client, Failure, race, spawn};
use leasehold_core::LeaseId;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, timeout};

use super::support::{LONG, fresh, name};
use super::waiter::{LIMIT, Pair, Release, SETTLED, WAKE_LIMIT, Watching, hint_of};
use super::{MySql, options};

/// Connections that are no longer needed are closed within this time, which is shorter than one
/// wait for a user-level lock.
const CLOSE_LIMIT: Duration = Duration::from_secs(35);

pub(super) async fn a_release_wakes_a_waiter_before_it_polls(backend: Arc<MySql>) -> CaseResult {
    let pair = Pair::open(&backend).await?;
    pair.woken_by_user_lock(&backend, Release::AtOnce).await?;
    backend.clean(&pair.namespace).await?;
    Ok(())
}

pub(super) async fn a_user_level_lock_wakes_its_waiter_only_after_the_release(
    backend: Arc<MySql>,
) -> CaseResult {
    let pair = Pair::open(&backend).await?;
    pair.woken_by_user_lock(&backend, Release::AfterAWait).await?;
    backend.clean(&pair.namespace).await?;
    Ok(())
}

pub(super) async fn a_waiter_without_a_user_level_lock_polls_at_its_interval(
    backend: Arc<MySql>,
) -> CaseResult {
    let pair = Pair::open(&backend).await?;
    let job = name("job");
    // The holder has ended, and its user-level lock with it.
    pair.holder.acquire_free(&job, LONG).await?;
    let Pair { namespace, url, holder, waiter } = pair;
    drop(holder);
    sleep(SETTLED).await;
    let watching = Watching::begin(&waiter, &job).await?;
    let rate = backend.commands_a_second(&namespace, Duration::from_secs(2)).await?;
    // The watch reads twice a second.
    assert!(rate < 30.0, "{rate} commands a second");
    drop((watching, waiter, url));
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_waiter_on_a_user_level_lock_polls_rarely(backend: Arc<MySql>) -> CaseResult {
    let pair = Pair::open(&backend).await?;
    let job = name("job");
    let taken = pair.holder.acquire_free(&job, LONG).await?;
    let watching = Watching::begin(&pair.waiter, &job).await?;
    // The first wait for the user-level lock is short.
    sleep(SETTLED * 3).await;
    let rate = backend.commands_a_second(&pair.namespace, Duration::from_secs(12)).await?;
    // The waiter sends nothing while the command waits for the user-level lock. The holder's
    // maintenance adds a command or two, and the first reads may be late.
    assert!(rate < 0.5, "{rate} commands a second");
    pair.holder.release_held(&taken).await?;
    watching.since(Instant::now()).await?;
    backend.clean(&pair.namespace).await?;
    Ok(())
}

pub(super) async fn a_user_level_lock_is_acquired_again_after_its_session_is_killed(
    backend: Arc<MySql>,
) -> CaseResult {
    let pair = Pair::open(&backend).await?;
    pair.woken_after(1).await?;
    let owners = backend.owners(&pair).await?;
    let owner =
        *owners.first().ok_or_else(|| Failure::new("no session has the user-level lock"))?;
    backend.execute(format!("KILL {owner}")).await?;
    // The holder notices at the first release that the connection is dead. The waiter does not
    // notice, and polls.
    pair.woken_after(1).await?;
    pair.woken_by_user_lock(&backend, Release::AtOnce).await?;
    // The connection that listens is ended too.
    for (session, doing) in backend.sessions(&pair.namespace).await? {
        if doing.contains("GET_LOCK") {
            _ = backend.execute(format!("KILL {session}")).await;
        }
    }
    pair.woken_after(1).await?;
    backend.clean(&pair.namespace).await?;
    Ok(())
}

pub(super) async fn all_waiters_of_one_holder_get_the_lock(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    let open = || async {
        let options = options(&namespace, Schema::Create);
        Ok::<_, Failure>(Locks::new(MySqlStore::connect(backend.url(), &options).await?)?)
    };
    let first = open().await?;
    let guard = first.lock("job")?.acquire(LIMIT).await?;
    let mut waiters = Vec::new();
    for _ in 0..20 {
        waiters.push(open().await?.lock("job")?);
    }
    let released = spawn(async move {
        sleep(SETTLED * 3).await;
        guard.release().await?;
        Ok(())
    });
    race(waiters.into_iter().map(|lock| async move {
        let guard = lock.acquire(LIMIT).await?;
        sleep(Duration::from_millis(5)).await;
        guard.release().await?;
        Ok(())
    }))
    .await?;
    released.join().await?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn connections_for_user_level_locks_are_few_and_are_closed(
    backend: Arc<MySql>,
) -> CaseResult {
    let pair = Pair::open(&backend).await?;
    let mut holders = Vec::new();
    for number in 0..8 {
        let holder = backend.connect(backend.url(), &pair.namespace).await?;
        holder.acquire_free(&name(&format!("job {number}")), LONG).await?;
        holders.push(holder);
    }
    let mut hints = pair.waiter.watch().await?;
    for number in 0..8 {
        let job = name(&format!("job {number}"));
        held(pair.waiter.acquire(&job, LeaseId::new(), LONG).await?);
    }
    let following = spawn(async move {
        while hints.next().await.is_some() {}
        Ok(())
    });
    let (mut most, mut all) = (0, 0);
    // On a busy machine it may take some time until one session waits.
    for look in 0.. {
        if look >= 10 && (most > 0 || look > 1000) {
            break;
        }
        sleep(SETTLED / 4).await;
        let sessions = backend.sessions(&pair.namespace).await?;
        most = most.max(sessions.iter().filter(|(_, doing)| doing.contains("GET_LOCK")).count());
        all = all.max(sessions.len());
    }
    assert!((1..=3).contains(&most), "{most} connections wait for user-level locks");
    drop(following);
    // First the waiters end, and then the stores are dropped.
    let until_at_most = |limit: usize, what: &'static str| {
        let (backend, user) = (Arc::clone(&backend), pair.namespace.clone());
        async move {
            let few_enough = async {
                while backend.sessions(&user).await?.len() > limit {
                    sleep(Duration::from_millis(100)).await;
                }
                Ok(())
            };
            timeout(CLOSE_LIMIT, few_enough).await.unwrap_or_else(|_| Err(Failure::new(what)))
        }
    };
    // The connections of the pools stay open.
    until_at_most(all - most, "connections for user-level locks stay open without waiters").await?;
    drop((holders, pair.holder, pair.waiter));
    until_at_most(0, "connections stay open although the stores were dropped").await?;
    backend.clean(&pair.namespace).await?;
    Ok(())
}

/// A server does not notice an orderly close while its command waits.
pub(super) async fn a_closed_pool_ends_the_wait_for_a_user_level_lock(
    backend: Arc<MySql>,
) -> CaseResult {
    let namespace = fresh();
    let holder = backend.connect(backend.url(), &namespace).await?;
    let url = backend.user_of_table(&namespace).await?;
    let store = MySqlStore::connect(&url, &options(&namespace, Schema::Require)).await?;
    let pool = store.pool().clone();
    let waiter = Client::new(Arc::new(store));
    let job = name("job");
    holder.acquire_free(&job, LONG).await?;
    let watching = Watching::begin(&waiter, &job).await?;
    let until_waiting = async {
        loop {
            let sessions = backend.sessions(&namespace).await?;
            if sessions.iter().any(|(_, doing)| doing.contains("GET_LOCK")) {
                return CaseResult::Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let waits = timeout(LIMIT, until_waiting).await;
    waits.map_err(|_| Failure::new("no session waits for the user-level lock"))??;
    timeout(LIMIT, pool.close()).await.map_err(|_| Failure::new("closing hangs"))?;
    let all_ended = async {
        while !backend.sessions(&namespace).await?.is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
        CaseResult::Ok(())
    };
    let ended = timeout(CLOSE_LIMIT, all_ended).await;
    ended.map_err(|_| Failure::new("a session still waits for the user-level lock"))??;
    drop(watching);
    backend.clean(&namespace).await?;
    Ok(())
}

/// Nothing drives this runtime. It can be dropped within another one.
struct UndrivenRuntime(Option<Runtime>);

impl Drop for UndrivenRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs the call in a runtime that nothing drives after that.
async fn in_undriven_runtime<T: Send + 'static>(
    call: impl Future<Output = CaseResult<T>> + Send + 'static,
) -> CaseResult<(T, UndrivenRuntime)> {
    let elsewhere = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let done = runtime.block_on(call)?;
        CaseResult::Ok((done, UndrivenRuntime(Some(runtime))))
    });
    let ended = tokio::task::spawn_blocking(|| elsewhere.join()).await?;
    ended.map_err(|_| Failure::new("the call panicked"))?
}

/// An application may block the runtime in which it acquires a lock. A waiter does not read by
/// itself while the user-level lock is held.
pub(super) async fn runtimes_that_nothing_drives_delay_no_notification(
    backend: Arc<MySql>,
) -> CaseResult {
    for holder_is_blocked in [true, false] {
        let pair = Pair::open(&backend).await?;
        let job = name("job");
        let mut hints = pair.waiter.watch().await?;
        let (holder, free) = (pair.holder.clone(), job.clone());
        let acquire = async move {
            let taken = holder.acquire_free(&free, LONG).await?;
            sleep(SETTLED).await;
            CaseResult::Ok(taken)
        };
        let (waiter, refused) = (pair.waiter.clone(), job.clone());
        let ask = async move {
            held(waiter.acquire(&refused, LeaseId::new(), LONG).await?);
            sleep(SETTLED * 2).await;
            CaseResult::Ok(())
        };
        let (taken, _undriven) = if holder_is_blocked {
            let acquired = in_undriven_runtime(acquire).await?;
            ask.await?;
            acquired
        } else {
            let taken = acquire.await?;
            (taken, in_undriven_runtime(ask).await?.1)
        };
        pair.holder.release_held(&taken).await?;
        let woken = timeout(WAKE_LIMIT, hint_of(&mut hints, &job)).await;
        let late =
            || format!("no notification; the holder's runtime is blocked: {holder_is_blocked}");
        woken.map_err(|_| Failure::new(late()))??;
        backend.clean(&pair.namespace).await?;
    }
    Ok(())
}
