//! These cases cover user-level locks, which wake a waiter at once, and which do no harm if they
//! do not wake it.
//!
//! While a user-level lock will announce a release, a watch reads by itself only every two seconds.
//! If its clock is stopped, it does not read by itself, so that only the user-level lock can wake
//! it, however long that takes on a busy machine.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::mysql::MySqlStore;
use leasehold::{Client as Locks, Schema};
use leasehold_conformance::expect::held;
use leasehold_conformance::{Backend, CaseResult, Client, Failure, Taken, race, spawn};
use leasehold_core::{Hint, HintStream, LeaseId, LockName, Namespace};
use sqlx::{AssertSqlSafe, Executor};
use tokio::sync::oneshot;
use tokio::time::{Instant, advance, sleep, timeout};

use super::support::{LONG, fresh, name};
use super::{MySql, options};
use crate::stopped_clock::on_stopped_clock;

/// This is the limit for every step that has no other time limit.
const LIMIT: Duration = Duration::from_secs(100);

/// A waiter must be woken by a user-level lock within this time, in which its clock advances by
/// less than the shortest pause between two reads.
const WAKE_LIMIT: Duration = Duration::from_secs(30);

/// After this time the user-level locks are held, and the waiters wait for them.
const SETTLED: Duration = Duration::from_millis(600);

/// A waiter misses a release if it does not wait for the user-level lock at that moment, or pauses
/// after a slow read.
const ROUNDS: usize = 4;

fn fresh_name() -> LockName {
    name(&format!("job {:x}", fastrand::u64(..)))
}

/// Waits for a hint about that name.
async fn hint_of(hints: &mut HintStream, job: &LockName) -> CaseResult {
    while let Some(hint) = hints.next().await {
        if hint == Hint::Name(job.clone()) {
            return Ok(());
        }
    }
    Err(Failure::new("the watch ended"))
}

/// This is a holder, and a waiter that was refused the name and watches.
struct Pair {
    namespace: Namespace,
    url: String,
    holder: Client,
    waiter: Client,
}

impl Pair {
    /// Opens both as a new user, by whose name their sessions are found.
    async fn open(backend: &MySql) -> CaseResult<Self> {
        let namespace = fresh();
        backend.connect(backend.url(), &namespace).await?;
        let url = backend.user_of_table(&namespace).await?;
        let holder = backend.connect(&url, &namespace).await?;
        let waiter = backend.connect(&url, &namespace).await?;
        Ok(Self { namespace, url, holder, waiter })
    }

    /// Returns the time from a release to its hint for each round, with a new name each.
    async fn woken_after(&self, rounds: usize) -> CaseResult<Vec<Duration>> {
        let mut times = Vec::new();
        for round in 0..rounds {
            let job = name(&format!("job {round} {:x}", fastrand::u32(..)));
            let taken = self.holder.take(&job, LONG).await?;
            let watching = Watching::begin(&self.waiter, &job).await?;
            self.holder.give_back(&taken).await?;
            times.push(watching.since(Instant::now()).await?);
        }
        Ok(times)
    }

    /// Asserts that in at least one of several rounds that kind of release wakes a waiter whose
    /// clock is stopped.
    async fn woken_by_user_lock(&self, backend: &MySql, release: Release) -> CaseResult {
        for _ in 0..ROUNDS {
            if self.user_lock_wakes(backend, release).await? {
                return Ok(());
            }
        }
        Err(Failure::new("no user-level lock wakes the waiter"))
    }

    async fn user_lock_wakes(&self, backend: &MySql, release: Release) -> CaseResult<bool> {
        let (first, second) = (fresh_name(), fresh_name());
        let held = [self.holder.take(&first, LONG).await?, self.holder.take(&second, LONG).await?];
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
            self.holder.give_back(&first).await?;
            stopped.await.map_err(|_| Failure::new("the waiter is never woken"))?;
            self.until_waiting(backend).await?;
            match release {
                Release::AtOnce => self.holder.give_back(&second).await?,
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
    async fn release_after_a_wait(&self, backend: &MySql, taken: Taken) -> CaseResult {
        let mut transaction = backend.admin().begin().await?;
        let (namespace, job) = (&self.namespace, &taken.name);
        let lock = format!("SELECT 1 FROM {namespace}_locks WHERE name = '{job}' FOR UPDATE");
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
        let holder = self.holder.clone();
        let releasing = spawn(async move { holder.give_back(&taken).await });
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
enum Release {
    AtOnce,
    AfterAWait,
}

async fn held_by_another(waiter: &Client, job: &LockName) -> CaseResult {
    held(waiter.acquire(job, LeaseId::new(), LONG).await?);
    Ok(())
}

/// This is a waiter that watches for one name.
struct Watching(leasehold_conformance::Task<Instant>);

impl Watching {
    /// Returns when the waiter usually waits for the user-level lock.
    async fn begin(waiter: &Client, job: &LockName) -> CaseResult<Self> {
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
    async fn since(self, then: Instant) -> CaseResult<Duration> {
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
    async fn commands_a_second(&self, user: &Namespace, at_least: Duration) -> CaseResult<f64> {
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
    async fn owners(&self, pair: &Pair) -> CaseResult<Vec<i64>> {
        let holder = pair.holder.holder().instance.simple().to_string();
        // The other part of the lock's name depends on the database, and any session that waits
        // shows it.
        let mut owners = Vec::new();
        let watching = pair.waiter.watch().await?;
        let job = name("owner");
        let taken = pair.holder.take(&job, LONG).await?;
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
        pair.holder.give_back(&taken).await?;
        drop((waiting, watching));
        Ok(owners)
    }
}

pub(super) async fn a_release_wakes_a_waiter_long_before_it_polls(
    backend: Arc<MySql>,
) -> CaseResult {
    let pair = Pair::open(&backend).await?;
    pair.woken_by_user_lock(&backend, Release::AtOnce).await?;
    backend.clean(&pair.namespace).await?;
    Ok(())
}

pub(super) async fn a_bell_rings_after_the_release_and_not_before(
    backend: Arc<MySql>,
) -> CaseResult {
    let pair = Pair::open(&backend).await?;
    pair.woken_by_user_lock(&backend, Release::AfterAWait).await?;
    backend.clean(&pair.namespace).await?;
    Ok(())
}

pub(super) async fn without_a_bell_nobody_asks_all_the_time(backend: Arc<MySql>) -> CaseResult {
    let pair = Pair::open(&backend).await?;
    let job = name("job");
    // The holder has ended, and its user-level lock with it.
    pair.holder.take(&job, LONG).await?;
    let Pair { namespace, url, holder, waiter } = pair;
    drop(holder);
    sleep(SETTLED).await;
    let watching = Watching::begin(&waiter, &job).await?;
    let rate = backend.commands_a_second(&namespace, Duration::from_secs(2)).await?;
    // The watch reads twice a second, with a ping each.
    assert!(rate < 30.0, "{rate} commands a second");
    drop((watching, waiter, url));
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_waiter_whom_a_bell_will_wake_asks_rarely(backend: Arc<MySql>) -> CaseResult {
    let pair = Pair::open(&backend).await?;
    let job = name("job");
    let taken = pair.holder.take(&job, LONG).await?;
    let watching = Watching::begin(&pair.waiter, &job).await?;
    // The first wait for the user-level lock is short.
    sleep(SETTLED * 3).await;
    let rate = backend.commands_a_second(&pair.namespace, Duration::from_secs(6)).await?;
    // In six seconds the waiter reads up to four times, with a ping each, and waits twice for the
    // user-level lock. The holder's maintenance adds some commands.
    assert!(rate < 2.5, "{rate} commands a second");
    pair.holder.give_back(&taken).await?;
    watching.since(Instant::now()).await?;
    backend.clean(&pair.namespace).await?;
    Ok(())
}

pub(super) async fn a_bell_whose_session_is_killed_is_hung_again(
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

pub(super) async fn many_waiters_of_one_holder_all_come_through(backend: Arc<MySql>) -> CaseResult {
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

pub(super) async fn connections_for_bells_are_few_and_go_away(backend: Arc<MySql>) -> CaseResult {
    let pair = Pair::open(&backend).await?;
    let mut holders = Vec::new();
    for number in 0..8 {
        let holder = backend.connect(backend.url(), &pair.namespace).await?;
        holder.take(&name(&format!("job {number}")), LONG).await?;
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
        all = sessions.len();
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
            timeout(LIMIT, few_enough).await.unwrap_or_else(|_| Err(Failure::new(what)))
        }
    };
    // The connections of the pools stay open.
    until_at_most(all - most, "connections for user-level locks stay open without waiters").await?;
    drop((holders, pair.holder, pair.waiter));
    until_at_most(0, "connections stay open although the stores were dropped").await?;
    backend.clean(&pair.namespace).await?;
    Ok(())
}
