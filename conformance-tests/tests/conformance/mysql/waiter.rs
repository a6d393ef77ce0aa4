//! These helpers make a holder and a waiter, and find out what wakes the waiter.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::expect::held;
use leasehold_conformance::{CaseResult, Client, Failure, HeldLease, spawn};
use leasehold_core::{Hint, HintStream, LeaseId, LockName, Namespace};
use sqlx::{AssertSqlSafe, Executor};
use tokio::sync::oneshot;
use tokio::time::{Instant, advance, sleep, timeout};

use super::support::{LONG, fresh, name};
use super::{MySql, options};
use crate::stopped_clock::on_stopped_clock;

/// This is the limit for every step that has no other time limit.
pub(super) const LIMIT: Duration = Duration::from_secs(100);

/// A waiter must be woken by a user-level lock within this time, in which its clock advances by
/// less than the shortest pause between two reads.
pub(super) const WAKE_LIMIT: Duration = Duration::from_secs(30);

/// After this time the user-level locks are held, and the waiters wait for them.
pub(super) const SETTLED: Duration = Duration::from_millis(600);

/// A waiter misses a release if it does not wait for the user-level lock at that moment, or pauses
/// after a slow read.
const ROUNDS: usize = 4;

fn fresh_name() -> LockName {
    name(&format!("job {:x}", fastrand::u64(..)))
}

/// Waits for a hint about that name.
pub(super) async fn hint_of(hints: &mut HintStream, job: &LockName) -> CaseResult {
    while let Some(hint) = hints.next().await {
        if hint == Hint::Name(job.clone()) {
            return Ok(());
        }
    }
    Err(Failure::new("the watch ended"))
}

/// This is a holder, and a waiter that was refused the name and watches.
pub(super) struct Pair {
    pub(super) namespace: Namespace,
    pub(super) url: String,
    pub(super) holder: Client,
    pub(super) waiter: Client,
}

impl Pair {
    /// Opens both as a new user, by whose name their sessions are found.
    pub(super) async fn open(backend: &MySql) -> CaseResult<Self> {
        let namespace = fresh();
        backend.connect(backend.url(), &namespace).await?;
        let url = backend.user_of_table(&namespace).await?;
        let holder = backend.connect(&url, &namespace).await?;
        let waiter = backend.connect(&url, &namespace).await?;
        Ok(Self { namespace, url, holder, waiter })
    }

    /// Returns the time from a release to its hint for each round, with a new name each.
    pub(super) async fn woken_after(&self, rounds: usize) -> CaseResult<Vec<Duration>> {
        let mut times = Vec::new();
        for round in 0..rounds {
            let job = name(&format!("job {round} {:x}", fastrand::u32(..)));
            let taken = self.holder.acquire_free(&job, LONG).await?;
            let watching = Watching::begin(&self.waiter, &job).await?;
            self.holder.release_held(&taken).await?;
            times.push(watching.since(Instant::now()).await?);
        }
        Ok(times)
    }

    /// Asserts that in at least one of several rounds that kind of release wakes a waiter whose
    /// clock is stopped.
    pub(super) async fn woken_by_user_lock(&self, backend: &MySql, release: Release) -> CaseResult {
        for _ in 0..ROUNDS {
            if self.user_lock_wakes(backend, release).await? {
                return Ok(());
            }
        }
        Err(Failure::new("no user-level lock wakes the waiter"))
    }

    async fn user_lock_wakes(&self, backend: &MySql, release: Release) -> CaseResult<bool> {
        let (first, second) = (fresh_name(), fresh_name());
        let held = [
            self.holder.acquire_free(&first, LONG).await?,
            self.holder.acquire_free(&second, LONG).await?,
        ];
        let (ready, is_ready) = oneshot::channel();
        let (stops, stopped) = oneshot::channel();
        // The waiter is another user than the holder, and may also wait for its user-level lock.
        let (url, namespace) = (backend.url().to_owned(), self.namespace.clone());
        let waiting = on_stopped_clock(move |mut clock| async move {
            let open = async {
                let options = options(&namespace, Schema::Require);
                let waiter = Client::new(Arc::new(MySqlStore::connect(&url, &options).await?));
                let hints = waiter.watch().await?;
                for job in [&first, &second] {
                    held_by_another(&waiter, job).await?;
                }
                CaseResult::Ok((waiter, hints))
            };
            let (_waiter, mut hints) = clock.go_until(open).await?;
            _ = ready.send(());
            // That hint may come from a read after an interval. The next such read is then late,
            // and the pause after this one is short.
            clock.jump_until(hint_of(&mut hints, &first)).await?;
            // After that the watch listens again, and reads when a user-level lock announces a
            // release.
            advance(Duration::from_millis(40)).await;
            _ = stops.send(());
            clock.crawl_until(hint_of(&mut hints, &second)).await
        });
        let releasing = async {
            let [first, second] = held;
            is_ready.await.map_err(|_| Failure::new("the waiter cannot wait"))?;
            self.until_waiting(backend).await?;
            self.holder.release_held(&first).await?;
            stopped.await.map_err(|_| Failure::new("the waiter is never woken"))?;
            self.until_waiting(backend).await?;
            match release {
                Release::AtOnce => self.holder.release_held(&second).await?,
                Release::AfterAWait => self.release_after_a_wait(backend, second).await?,
            }
            CaseResult::Ok(Instant::now())
        };
        let mut waiting = std::pin::pin!(waiting);
        let released = tokio::select! {
            released = timeout(LIMIT, releasing) => {
                released.map_err(|_| Failure::new("no session waits for the user-level lock"))??
            }
            ended = &mut waiting => return ended.map(|()| false),
        };
        let woken = tokio::time::timeout_at(released + WAKE_LIMIT, waiting).await;
        woken.map_or(Ok(false), |woken| woken.map(|()| true))
    }

    /// Releases the name while its row is locked, so that the release waits and the lease does not
    /// end before that. A waiter that is woken too early finds nothing, and is not woken again.
    async fn release_after_a_wait(&self, backend: &MySql, taken: HeldLease) -> CaseResult {
        let mut transaction = backend.admin().begin().await?;
        let (namespace, job) = (&self.namespace, &taken.name);
        let lock = format!("SELECT 1 FROM {namespace}_locks WHERE name = '{job}' FOR UPDATE");
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
        let holder = self.holder.clone();
        let releasing = spawn(async move { holder.release_held(&taken).await });
        sleep(Duration::from_millis(300)).await;
        transaction.rollback().await?;
        releasing.join().await
    }

    /// Waits until a session of another user waits for the holder's user-level lock.
    async fn until_waiting(&self, backend: &MySql) -> CaseResult {
        let query = format!(
            "SELECT CAST(COUNT(*) AS SIGNED) FROM {} \
             WHERE user <> ? AND state = 'User lock' AND info LIKE CONCAT('%', ?, '%')",
            backend.process_list()
        );
        let user_lock = self.holder.holder().instance.simple().to_string();
        loop {
            let waiting = sqlx::query_scalar(AssertSqlSafe(query.clone()));
            let waiting = waiting.bind(self.namespace.as_str()).bind(&user_lock);
            let waiting: i64 = waiting.fetch_one(backend.admin()).await?;
            if waiting > 0 {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// This is the way in which a name is released.
#[derive(Clone, Copy)]
pub(super) enum Release {
    AtOnce,
    AfterAWait,
}

async fn held_by_another(waiter: &Client, job: &LockName) -> CaseResult {
    held(waiter.acquire(job, LeaseId::new(), LONG).await?);
    Ok(())
}

/// This is a waiter that watches for one name.
pub(super) struct Watching(leasehold_conformance::Task<Instant>);

impl Watching {
    /// Returns when the waiter usually waits for the user-level lock.
    pub(super) async fn begin(waiter: &Client, job: &LockName) -> CaseResult<Self> {
        let mut hints = waiter.watch().await?;
        held(waiter.acquire(job, LeaseId::new(), LONG).await?);
        let job = job.clone();
        let task = spawn(async move {
            while let Some(hint) = hints.next().await {
                if hint == Hint::Name(job.clone()) {
                    return Ok(Instant::now());
                }
            }
            Err(Failure::new("the watch ended"))
        });
        sleep(SETTLED).await;
        Ok(Self(task))
    }

    /// Returns how long after that time the hint arrived.
    pub(super) async fn since(self, then: Instant) -> CaseResult<Duration> {
        let woken = timeout(LIMIT, self.0.join()).await;
        let woken = woken.map_err(|_| Failure::new("the waiter is never woken"))??;
        Ok(woken.saturating_duration_since(then))
    }
}

impl MySql {
    /// Returns how many commands that user has sent.
    async fn statements(&self, user: &Namespace) -> CaseResult<i64> {
        let query = "SELECT CAST(COALESCE(SUM(count_star), 0) AS SIGNED) \
             FROM performance_schema.events_statements_summary_by_user_by_event_name \
             WHERE user = ?";
        Ok(sqlx::query_scalar(query).bind(user.as_str()).fetch_one(self.admin()).await?)
    }

    /// Returns how many commands per second that user sends, measured for at least that long and
    /// until there is one.
    pub(super) async fn commands_a_second(
        &self,
        user: &Namespace,
        at_least: Duration,
    ) -> CaseResult<f64> {
        let (begun, before) = (Instant::now(), self.statements(user).await?);
        loop {
            sleep(at_least).await;
            let sent = self.statements(user).await? - before;
            if sent > 0 {
                return Ok(i32::try_from(sent).map(f64::from)? / begun.elapsed().as_secs_f64());
            }
            assert!(begun.elapsed() < LIMIT, "no command is sent");
        }
    }

    /// Returns the sessions that have the user-level locks of that namespace's holders.
    pub(super) async fn owners(&self, pair: &Pair) -> CaseResult<Vec<i64>> {
        let holder = pair.holder.holder().instance.simple().to_string();
        // The other part of the lock's name depends on the database, and any session that waits
        // shows it.
        let mut owners = Vec::new();
        let watching = pair.waiter.watch().await?;
        let job = name("owner");
        let taken = pair.holder.acquire_free(&job, LONG).await?;
        let waiting = Watching::begin(&pair.waiter, &job).await?;
        for (_, doing) in self.sessions(&pair.namespace).await? {
            let user_lock = doing.split('\'').find(|part| part.ends_with(&holder));
            if let Some(user_lock) = user_lock {
                let query = "SELECT CAST(IS_USED_LOCK(?) AS SIGNED)";
                let owner: Option<i64> =
                    sqlx::query_scalar(query).bind(user_lock).fetch_one(self.admin()).await?;
                owners.extend(owner);
            }
        }
        pair.holder.release_held(&taken).await?;
        drop((waiting, watching));
        Ok(owners)
    }
}
