//! These cases run with sqlx on each server.

/// Defines the cases for a driver and a server: how it is started, the function that begins a
/// transaction at SERIALIZABLE, the query for the number of a session, whether the server tells
/// which sessions block a raise, the statements that lock and unlock a table, the query that counts
/// the waits for locks on it, and the statement that makes a connection read-only, if its session is
/// the connection's own.
macro_rules! cases {
    (
        $driver:ty,
        $start:expr,
        $serializable:ident,
        $session:literal,
        $tells:literal,
        $lock:literal,
        $unlock:literal,
        $waits:expr,
        $read_only:expr
    ) => {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};
        use std::time::{Duration, Instant};

        use leasehold_fence::Schema;
        use leasehold_fence::sqlx::{Fence, FenceTable};
        use leasehold_test_servers::until_ready;
        use sqlx::AssertSqlSafe;
        use sqlx::pool::PoolOptions;
        use tokio::time::{sleep, timeout};

        type Pool = sqlx::Pool<$driver>;
        type Table = FenceTable<$driver>;

        /// A call that would otherwise wait forever fails after this time.
        const LONG: Duration = Duration::from_secs(60);
        const SHORT: Duration = Duration::from_millis(1200);

        /// One server serves all cases, each with a lock name of its own.
        #[tokio::test(flavor = "multi_thread")]
        async fn no_older_transaction_commits_after_raise() {
            let Some((_server, url)) = $start.await else { return };
            let pool = until_ready(|| Pool::connect(&url)).await.unwrap();
            let namespace = namespace();
            let missing = Table::open(&pool, &namespace, Schema::Require).await.unwrap_err();
            assert!(missing.to_string().contains("is missing"), "{missing}");
            let table = Table::open(&pool, &namespace, Schema::Create).await.unwrap();
            Table::open(&pool, &namespace, Schema::Require).await.unwrap();
            run(&pool, format!("CREATE TABLE {namespace}_ledger (n BIGINT)")).await;

            timeout(LONG, a_table_is_not_opened_in_a_transaction(&pool, &namespace)).await.unwrap();
            timeout(LONG, transactions_of_one_term_run_side_by_side(&pool, &table, &namespace))
                .await
                .unwrap();
            timeout(LONG, an_open_older_transaction_blocks_raise(&pool, &table)).await.unwrap();
            timeout(LONG, raise_returns_after_the_older_transaction(&pool, &table)).await.unwrap();
            timeout(LONG, a_stream_of_older_transactions_does_not_delay_raise(&pool, &table))
                .await
                .unwrap();
            timeout(LONG, a_guard_lets_only_the_newest_term_write(&pool, &table, &namespace))
                .await
                .unwrap();
            timeout(LONG, a_raise_that_is_paused_is_named(&pool, &table, &namespace))
                .await
                .unwrap();
            timeout(LONG, a_locked_table_blocks_raise_up_to_its_limit(&pool, &table, &namespace))
                .await
                .unwrap();
            timeout(LONG, a_pool_closes_a_connection_that_is_read_only(&url, &table))
                .await
                .unwrap();

            for table in ["ledger", "fence", "fence_intent"] {
                run(&pool, format!("DROP TABLE {namespace}_{table}")).await;
            }
            run(&pool, format!("CREATE TABLE {namespace}_fence (name INT, price INT)")).await;
            let foreign = Table::open(&pool, &namespace, Schema::Create).await.unwrap_err();
            assert!(foreign.to_string().contains("is not as leasehold creates it"), "{foreign}");
            run(&pool, format!("DROP TABLE {namespace}_fence")).await;
        }

        async fn run(pool: &Pool, statement: String) {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(pool).await.unwrap();
        }

        async fn raised(pool: &Pool, table: &Table, name: &str, token: u64) -> Fence<$driver> {
            let fence = table.fence(&term(name, token));
            fence.raise(pool, LONG).await.unwrap();
            fence
        }

        async fn a_table_is_not_opened_in_a_transaction(pool: &Pool, namespace: &Namespace) {
            let mut open = pool.begin().await.unwrap();
            let error = Table::open_on(&mut open, namespace, Schema::Create).await.unwrap_err();
            assert!(error.to_string().contains("outside of a transaction"), "{error}");
        }

        async fn transactions_of_one_term_run_side_by_side(
            pool: &Pool,
            table: &Table,
            namespace: &Namespace,
        ) {
            let fence = raised(pool, table, "side by side", 7).await;
            let mut first = pool.begin().await.unwrap();
            fence.check(&mut first).await.unwrap();
            let mut second = pool.begin().await.unwrap();
            fence.check(&mut second).await.unwrap();
            let waits = $waits.replace("{}", &format!("{namespace}_fence"));
            let waits = sqlx::query_scalar::<_, i64>(AssertSqlSafe(waits)).fetch_one(pool);
            assert_eq!(waits.await.unwrap(), 0);
            // Raising the fence of the same term again does not wait for them either.
            fence.raise(pool, LONG).await.unwrap();
            second.commit().await.unwrap();
            first.commit().await.unwrap();
            // At SERIALIZABLE, MySQL locks all that a transaction reads.
            let mut connection = pool.acquire().await.unwrap();
            let mut serializable = $serializable(&mut connection).await.unwrap();
            fence.check(&mut serializable).await.unwrap();
            fence.raise(pool, LONG).await.unwrap();
            serializable.commit().await.unwrap();
        }

        async fn an_open_older_transaction_blocks_raise(pool: &Pool, table: &Table) {
            let older = raised(pool, table, "blocked", 7).await;
            let mut open = pool.begin().await.unwrap();
            older.check(&mut open).await.unwrap();
            let session: i64 = sqlx::query_scalar($session).fetch_one(&mut *open).await.unwrap();

            let newer = table.fence(&term("blocked", 8));
            let error = newer.raise(pool, SHORT).await.unwrap_err();
            let leasehold_fence::Error::Blocked(blocked) = error else { panic!("{error}") };
            assert!(blocked.waited >= SHORT, "{blocked:?}");
            let named: Vec<_> = blocked.sessions.iter().map(|session| session.id).collect();
            assert_eq!(named, if $tells { vec![session] } else { Vec::new() });

            // The older term was refused from the intent on.
            let mut late = pool.begin().await.unwrap();
            assert!(older.check(&mut late).await.unwrap_err().is_stale());
            late.rollback().await.unwrap();
            // The newer one can repeat its check until the fence is raised.
            let mut early = pool.begin().await.unwrap();
            let error = newer.check(&mut early).await.unwrap_err();
            assert!(matches!(error, leasehold_fence::Error::Conflict(_)), "{error}");
            early.rollback().await.unwrap();
            open.commit().await.unwrap();
            newer.raise(pool, LONG).await.unwrap();
            assert!(older.raise(pool, LONG).await.unwrap_err().is_stale());
            let mut current = pool.begin().await.unwrap();
            newer.check(&mut current).await.unwrap();
        }

        async fn raise_returns_after_the_older_transaction(pool: &Pool, table: &Table) {
            let older = raised(pool, table, "drained", 7).await;
            let mut open = pool.begin().await.unwrap();
            older.check(&mut open).await.unwrap();
            let newer = table.fence(&term("drained", 8));
            let raising = tokio::spawn({
                let (newer, pool) = (newer.clone(), pool.clone());
                async move { newer.raise(&pool, LONG).await }
            });
            sleep(Duration::from_millis(300)).await;
            assert!(!raising.is_finished());
            open.commit().await.unwrap();
            raising.await.unwrap().unwrap();
        }

        async fn a_stream_of_older_transactions_does_not_delay_raise(pool: &Pool, table: &Table) {
            let older = raised(pool, table, "stream", 7).await;
            let raised_newer = Arc::new(AtomicBool::new(false));
            let mut writers = Vec::new();
            for at in 0..4 {
                let (older, pool) = (older.clone(), pool.clone());
                let raised = Arc::clone(&raised_newer);
                writers.push(tokio::spawn(async move {
                    sleep(Duration::from_millis(12 * at)).await;
                    // A writer that is refused tries again at once.
                    while !raised.load(Ordering::Relaxed) {
                        let mut transaction = pool.begin().await.unwrap();
                        if older.check(&mut transaction).await.is_ok() {
                            sleep(Duration::from_millis(50)).await;
                            transaction.commit().await.unwrap();
                        } else {
                            transaction.rollback().await.unwrap();
                        }
                    }
                }));
            }
            sleep(Duration::from_millis(300)).await;
            let began = Instant::now();
            raised(pool, table, "stream", 8).await;
            eprintln!("{}: raised after {:?}", module_path!(), began.elapsed());
            raised_newer.store(true, Ordering::Relaxed);
            for writer in writers {
                writer.await.unwrap();
            }
        }

        async fn a_guard_lets_only_the_newest_term_write(
            pool: &Pool,
            table: &Table,
            namespace: &Namespace,
        ) {
            run(pool, format!("INSERT INTO {namespace}_ledger VALUES (0)")).await;
            let older = raised(pool, table, "guarded", 7).await;
            let newer = raised(pool, table, "guarded", 8).await;
            for (fence, changed) in [(older, 0), (newer, 1)] {
                let guard = fence.guard(1);
                let update = format!("UPDATE {namespace}_ledger SET n = 1 WHERE {}", guard.sql());
                let mut update = sqlx::query::<$driver>(AssertSqlSafe(update));
                for parameter in guard.parameters() {
                    update = match parameter {
                        leasehold_fence::sql::Parameter::Name => update.bind("guarded"),
                        leasehold_fence::sql::Parameter::Floor => {
                            update.bind(i64::from(fence.term().floor()))
                        }
                        _ => update.bind(i64::from(fence.term().token())),
                    };
                }
                let done = update.execute(pool).await.unwrap();
                assert_eq!(done.rows_affected(), changed);
                let mut connection = pool.acquire().await.unwrap();
                assert_eq!(fence.verify(&mut connection).await.is_ok(), changed == 1);
            }
        }

        /// The process of a raise may be stopped before it commits.
        async fn a_raise_that_is_paused_is_named(
            pool: &Pool,
            table: &Table,
            namespace: &Namespace,
        ) {
            raised(pool, table, "paused", 7).await;
            for (at, token) in [("fence", 8), ("fence_intent", 9)] {
                let mut paused = pool.begin().await.unwrap();
                let session: i64 =
                    sqlx::query_scalar($session).fetch_one(&mut *paused).await.unwrap();
                let write =
                    format!("UPDATE {namespace}_{at} SET token = token WHERE name = 'paused'");
                sqlx::raw_sql(AssertSqlSafe(write)).execute(&mut *paused).await.unwrap();
                let fence = table.fence(&term("paused", token));
                let error = fence.raise(pool, SHORT).await.unwrap_err();
                let leasehold_fence::Error::Blocked(blocked) = error else { panic!("{error}") };
                let named: Vec<_> = blocked.sessions.iter().map(|session| session.id).collect();
                assert_eq!(named, if $tells { vec![session] } else { Vec::new() }, "{at}");
                paused.rollback().await.unwrap();
                fence.raise(pool, LONG).await.unwrap();
            }
        }

        async fn a_locked_table_blocks_raise_up_to_its_limit(
            pool: &Pool,
            table: &Table,
            namespace: &Namespace,
        ) {
            raised(pool, table, "locked", 7).await;
            for (at, token) in [("fence", 8), ("fence_intent", 9)] {
                let mut locking = pool.acquire().await.unwrap();
                let lock = $lock.replace("{}", &format!("{namespace}_{at}"));
                sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *locking).await.unwrap();
                let fence = table.fence(&term("locked", token));
                let error = fence.raise(pool, SHORT).await.unwrap_err();
                assert!(error.is_blocked(), "{at}: {error}");
                sqlx::raw_sql($unlock).execute(&mut *locking).await.unwrap();
                fence.raise(pool, LONG).await.unwrap();
            }
        }

        /// A server that was demoted accepts no writes, and its address may name another one now.
        async fn a_pool_closes_a_connection_that_is_read_only(url: &str, table: &Table) {
            let read_only: Option<&'static str> = $read_only;
            let Some(read_only) = read_only else { return };
            let options = PoolOptions::<$driver>::new().max_connections(1);
            let pool = options.connect(url).await.unwrap();
            sqlx::raw_sql(read_only).execute(&pool).await.unwrap();
            let fence = table.fence(&term("read-only", 7));
            let error = fence.raise(&pool, LONG).await.unwrap_err();
            assert!(error.to_string().contains("accepts no writes"), "{error}");
            fence.raise(&pool, LONG).await.unwrap();
        }
    };
}
