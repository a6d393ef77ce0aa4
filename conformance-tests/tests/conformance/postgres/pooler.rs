//! These cases cover PgBouncer between a store and its server.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::expect::{extended, held};
use leasehold_conformance::{CaseResult, Client, Failure, race, spawn};
use leasehold_core::{
    ErrorKind, Hint, LeaseId, LockStore, Namespace, ReleaseOutcome, Result, Settings,
};
use leasehold_test_servers::{Server, pgbouncer, until_ready};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::time::{sleep, timeout};

use super::support::{LONG, fresh, name};
use super::{Postgres, options};

/// This is the configuration that the documentation page of PostgreSQL describes.
const TRANSACTIONS: &str = "pool_mode=transaction max_prepared_statements=100 default_pool_size=4";

struct Pooled {
    server: Server,
    url: String,
    admin: PgPool,
}

impl Pooled {
    async fn start(backend: &Postgres, settings: &str) -> CaseResult<Self> {
        backend.needs("pgbouncer").await?;
        let server = Server::start_with(&pgbouncer::IMAGE, &[settings]).await?;
        let url = pgbouncer::IMAGE.url_at(&server.address());
        // A pooler refuses that setting.
        let connect = PgConnectOptions::from_str(&url)?.extra_float_digits(None);
        let admin = PgPoolOptions::new().max_connections(8).connect_lazy_with(connect);
        let pooled = Self { server, url, admin };
        until_ready(|| pooled.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")).await?;
        Ok(pooled)
    }

    async fn open(&self, namespace: &Namespace) -> Result<PostgresStore> {
        PostgresStore::connect(&self.url, &options(namespace, Schema::Create)).await
    }

    async fn client(&self, namespace: &Namespace) -> Result<Client> {
        Ok(Client::new(Arc::new(self.open(namespace).await?)))
    }

    /// Executes a statement with the simple protocol, like all statements in this module.
    async fn execute(&self, sql: &str) -> sqlx::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.admin).await?;
        Ok(())
    }

    async fn number(&self, sql: &str) -> CaseResult<i64> {
        use sqlx::Row;
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&self.admin).await?;
        Ok(rows.first().ok_or_else(|| Failure::new("no row"))?.try_get(0)?)
    }

    /// Returns how often a statement that contains the pattern has run.
    async fn calls(&self, pattern: &str) -> CaseResult<i64> {
        let sql = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query LIKE";
        self.number(&format!("{sql} '{pattern}'")).await
    }

    /// Returns how many of the pooler's four sessions listen.
    async fn listening(&self) -> CaseResult<i64> {
        use sqlx::{Executor, Row};
        let (mut transactions, mut sessions, mut listening) = (Vec::new(), Vec::new(), 0);
        for _ in 0..4 {
            // Each connection keeps its session until all have been read.
            let mut transaction = self.admin.begin().await?;
            let query = "SELECT pg_backend_pid(), (SELECT count(*) FROM pg_listening_channels())";
            let rows = (&mut *transaction).fetch_all(sqlx::raw_sql(query)).await?;
            sessions.push(rows[0].try_get::<i32, _>(0)?);
            listening += rows[0].try_get::<i64, _>(1)?;
            transactions.push(transaction);
        }
        sessions.sort_unstable();
        sessions.dedup();
        assert_eq!(sessions.len(), 4, "every session was examined");
        Ok(listening)
    }
}

pub(super) async fn a_store_works_behind_a_transaction_pooler(
    backend: Arc<Postgres>,
) -> CaseResult {
    let pooled = Pooled::start(&backend, TRANSACTIONS).await?;
    let namespace = fresh();
    let clients = [pooled.client(&namespace).await?, pooled.client(&namespace).await?];
    // Each statement may run on another session of the server.
    race((0..16).map(|contender| {
        let client = clients[contender % 2].clone();
        async move {
            for round in 0..10 {
                let job = name(&format!("job {}", (contender + round) % 5));
                let taken = client.acquire_when_free(&job, LONG).await?;
                extended(client.renew(&job, taken.lease, LONG).await?);
                client.release_held(&taken).await?;
            }
            Ok(())
        }
    }))
    .await?;
    Ok(())
}

pub(super) async fn opening_through_a_pooler_runs_no_statement_of_other_clients(
    backend: Arc<Postgres>,
) -> CaseResult {
    let pooled = Pooled::start(&backend, TRANSACTIONS).await?;
    if !pooled.server.has("pgbench").await? {
        return Err(Failure::ignored("the image does not have pgbench"));
    }
    let namespace = fresh();
    pooled.open(&namespace).await?;
    pooled.execute("CREATE TABLE application (id bigserial)").await?;
    let script = "echo 'INSERT INTO application DEFAULT VALUES;' > /tmp/insert.sql";
    pooled.server.run(&["sh", "-c", script]).await?;
    let (pooled, over) = (Arc::new(pooled), Arc::new(AtomicBool::new(false)));
    // Unnamed statements, each in one message: these clients do not disturb each other.
    let load = spawn({
        let (pooled, over) = (pooled.clone(), over.clone());
        async move {
            let command = "PGAPPNAME=leasehold pgbench -h 127.0.0.1 -p 6432 -U postgres -n \
                           -M extended -c 6 -t 300 -f /tmp/insert.sql postgres 2>&1";
            let (mut written, mut runs) = (0, 0);
            while !over.load(Ordering::Relaxed) || runs == 0 {
                let output = pooled.server.run(&["sh", "-c", command]).await?;
                let line = output.lines().find_map(|line| line.split_once("actually processed: "));
                let count = line.and_then(|(_, counts)| counts.split('/').next());
                let count: Option<i64> = count.and_then(|count| count.trim().parse().ok());
                assert_eq!(count, Some(1800), "{output}");
                written += 1800;
                runs += 1;
            }
            Ok(written)
        }
    });
    race((0..8).map(|_| {
        let (pooled, namespace) = (pooled.clone(), namespace.clone());
        async move {
            for _ in 0..50 {
                pooled.open(&namespace).await?;
            }
            Ok(())
        }
    }))
    .await?;
    over.store(true, Ordering::Relaxed);
    let written = load.join().await?;
    let rows = pooled.number("SELECT count(*) FROM application").await?;
    assert_eq!(rows, written, "the store has run a statement of another client");
    Ok(())
}

pub(super) async fn a_watch_through_a_pooler_listens_on_no_shared_session(
    backend: Arc<Postgres>,
) -> CaseResult {
    let pooled = Pooled::start(&backend, TRANSACTIONS).await?;
    let namespace = fresh();
    let (watcher, operator) = (pooled.open(&namespace).await?, pooled.client(&namespace).await?);
    let mut hints = watcher.watch().await?;
    let waiter = Client::new(Arc::new(watcher.clone()));
    for round in 0..100 {
        // Each call is made once, since a repeated call would hide an error.
        let (job, lease) = (name(&format!("job {}", round % 7)), LeaseId::new());
        waiter.store().acquire(&job, &waiter.options(lease, LONG)).await?;
        assert_eq!(operator.store().release(&job, lease).await?, ReleaseOutcome::Released);
        operator.disable(&job, "upkeep").await?;
        operator.store().enable(&job).await?;
    }
    assert_eq!(pooled.listening().await?, 0);
    assert_eq!(pooled.calls("LISTEN%").await?, 0);
    // Waiters still get hints.
    let hinted = timeout(LONG / 2, hints.next()).await;
    hinted.map_err(|_| Failure::new("waiters get no hint"))?;
    Ok(())
}

/// Waits until the watch has polled that many more times.
async fn polled(pooled: &Pooled, times: i64) -> CaseResult {
    let pattern = "SELECT l.name, l.lease::text AS lease, l.disabled_reason IS NOT NULL%";
    let before = pooled.calls(pattern).await?;
    let wait = async {
        while pooled.calls(pattern).await? < before + times {
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    };
    timeout(LONG / 2, wait).await.map_err(|_| Failure::new("the watch does not poll"))?
}

pub(super) async fn one_query_of_a_pooled_watch_serves_all_waiters(
    backend: Arc<Postgres>,
) -> CaseResult {
    const WAITERS: usize = 20;
    let pooled = Pooled::start(&backend, TRANSACTIONS).await?;
    let namespace = fresh();
    let (holder, store) = (pooled.client(&namespace).await?, pooled.open(&namespace).await?);
    let mut leases = Vec::new();
    for job in 0..WAITERS {
        leases.push(holder.acquire_free(&name(&format!("job {job}")), LONG * 5).await?);
    }
    // Without hints, waiters retry after a hundred seconds.
    let client = leasehold_core::Client::new(store.clone())?;
    let settings = Settings::new().ttl(LONG * 3);
    let waiting: Vec<_> = (0..WAITERS)
        .map(|job| {
            let lock = client.lock(format!("job {job}"))?.settings(&settings)?;
            Ok(spawn(async move { Ok(lock.acquire(LONG).await?.token()) }))
        })
        .collect::<Result<_>>()?;
    let acquires = || pooled.calls("WITH standing AS%INSERT INTO%ON CONFLICT%lease = excluded%");
    // The holder asked for each name. On a busy machine it may take some time until each waiter has
    // asked, and until the hint with which the watch begins has been handled.
    let mut before = 0;
    while before < 2 * i64::try_from(WAITERS)? || before != acquires().await? {
        before = acquires().await?;
        polled(&pooled, 2).await?;
    }
    polled(&pooled, 4).await?;
    assert_eq!(acquires().await?, before, "waiters retry although nothing has changed");
    // The hint about a change has the name, and only waiters for that name get it.
    holder.release_held(&leases[7]).await?;
    let mut waiting = waiting;
    let token = waiting.remove(7).join().await?;
    assert!(token > leases[7].token);
    assert!(acquires().await? <= before + 2, "more than one waiter was woken");
    // A watch of another runtime has its own query, and begins with a hint of anything.
    let mut hints = store.watch().await?;
    polled(&pooled, 4).await?;
    while hints.next().now_or_never().is_some() {}
    holder.disable(&name("job 3"), "upkeep").await?;
    let hinted = async {
        while let Some(hint) = hints.next().await {
            assert!(
                [name("job 3"), name("job 7")].map(Hint::Name).contains(&hint),
                "nothing else has changed: {hint:?}"
            );
            if hint == Hint::Name(name("job 3")) {
                break;
            }
        }
    };
    timeout(LONG / 2, hinted).await.map_err(|_| Failure::new("the change causes no hint"))?;
    Ok(())
}

pub(super) async fn queries_of_a_pooled_watch_do_not_accumulate(
    backend: Arc<Postgres>,
) -> CaseResult {
    let settings = "pool_mode=transaction max_prepared_statements=100 default_pool_size=20";
    let pooled = Pooled::start(&backend, settings).await?;
    let store = pooled.open(&fresh()).await?;
    let client = Client::new(Arc::new(store.clone()));
    let job = name("job");
    let _hints = store.watch().await?;
    client.acquire_free(&job, LONG).await?;
    polled(&pooled, 1).await?;
    let mut transaction = pooled.admin.begin().await?;
    let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", store.table());
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *transaction).await?;
    // As many calls are abandoned as may be: further ones are refused without being sent.
    while timeout(Duration::from_millis(1_500), client.store().get(&job)).await.is_err() {}
    // A query times out after ten seconds.
    sleep(Duration::from_secs(45)).await;
    let query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                 AND query LIKE 'SELECT l.name, l.lease::text AS lease, l.disabled%'";
    let waiting = pooled.number(query).await?;
    assert!(waiting <= 3, "{waiting} queries of one watch wait");
    transaction.rollback().await?;
    polled(&pooled, 2).await
}

pub(super) async fn a_pooler_that_mixes_up_prepared_statements_is_refused(
    backend: Arc<Postgres>,
) -> CaseResult {
    let unaware = "pool_mode=transaction max_prepared_statements=0 default_pool_size=4";
    let pooled = Pooled::start(&backend, unaware).await?;
    for _ in 0..5 {
        let error = pooled.open(&fresh()).await.expect_err("it mixes up statements");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        assert!(error.to_string().contains("max_prepared_statements"), "{error}");
    }
    // The store has left nothing on the pooler's sessions.
    assert_eq!(pooled.number("SELECT count(*) FROM pg_prepared_statements").await?, 0);
    Ok(())
}

pub(super) async fn a_pool_without_a_statement_cache_is_refused_behind_a_pooler(
    backend: Arc<Postgres>,
) -> CaseResult {
    let pooled = Pooled::start(&backend, TRANSACTIONS).await?;
    let open = async |url: &str, capacity| {
        let connect = PgConnectOptions::from_str(url)?.extra_float_digits(None);
        let connect = connect.statement_cache_capacity(capacity);
        let pool = PgPoolOptions::new().connect_with(connect).await?;
        Ok::<_, Failure>(PostgresStore::from_pool(pool, &options(&fresh(), Schema::Create)).await)
    };
    let error = open(&pooled.url, 0).await?.expect_err("each call would leave a statement");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.to_string().contains("statement_cache_capacity"), "{error}");
    open(&pooled.url, 10).await??;
    Ok(())
}

pub(super) async fn notifications_arrive_through_a_session_pooler(
    backend: Arc<Postgres>,
) -> CaseResult {
    let pooled = Pooled::start(&backend, "pool_mode=session default_pool_size=20").await?;
    let namespace = fresh();
    let store = pooled.open(&namespace).await?;
    let client = Client::new(Arc::new(store.clone()));
    let mut hints = store.watch().await?;
    let listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LISTEN \"%'";
    until_ready(async || match pooled.number(listening).await {
        Ok(1..) => Ok(()),
        Ok(_) => Err("no session listens".to_owned()),
        Err(failure) => Err(failure.to_string()),
    })
    .await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    held(client.acquire(&name("job"), LeaseId::new(), LONG).await?);
    client.release_held(&taken).await?;
    let hinted = async { while hints.next().await != Some(Hint::Name(name("job"))) {} };
    timeout(LONG / 2, hinted).await.map_err(|_| Failure::new("the release causes no hint"))?;
    Ok(())
}
