//! These cases run with tokio-postgres on PostgreSQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leasehold_fence::tokio_postgres::{Fence, FenceTable};
use leasehold_fence::{Error, Namespace, Schema};
use leasehold_test_servers::catalog::POSTGRES;
use leasehold_test_servers::until_ready;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::{namespace, start, term};

/// A call that would otherwise wait forever fails after this time.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(1200);

/// All cases use this database, each with a lock name of its own.
struct TestDatabase {
    url: String,
    namespace: Namespace,
    table: FenceTable,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_older_transaction_commits_after_raise() {
    let Some((_server, url)) = start(&POSTGRES).await else { return };
    let namespace = Namespace::new(format!("{}_tokio", namespace())).unwrap();
    let mut client = until_ready(|| connect(&url)).await.unwrap();
    let missing = FenceTable::open(&mut client, &namespace, Schema::Require).await.unwrap_err();
    assert!(missing.to_string().contains("is missing"), "{missing}");
    let table = FenceTable::open(&mut client, &namespace, Schema::Create).await.unwrap();
    FenceTable::open(&mut client, &namespace, Schema::Require).await.unwrap();
    client.batch_execute(&format!("CREATE TABLE {namespace}_ledger (n BIGINT)")).await.unwrap();
    let database = TestDatabase { url, namespace: namespace.clone(), table };

    timeout(LONG, transactions_of_one_term_run_side_by_side(&database)).await.unwrap();
    timeout(LONG, an_open_older_transaction_blocks_raise(&database)).await.unwrap();
    timeout(LONG, raise_returns_after_the_older_transaction(&database)).await.unwrap();
    timeout(LONG, a_stream_of_older_transactions_does_not_delay_raise(&database)).await.unwrap();
    timeout(LONG, a_guard_lets_only_the_newest_term_write(&database)).await.unwrap();

    for table in ["ledger", "fence", "fence_intent"] {
        client.batch_execute(&format!("DROP TABLE {namespace}_{table}")).await.unwrap();
    }
    let foreign = format!("CREATE TABLE {namespace}_fence (name INT, price INT)");
    client.batch_execute(&foreign).await.unwrap();
    let foreign = FenceTable::open(&mut client, &namespace, Schema::Create).await.unwrap_err();
    assert!(foreign.to_string().contains("is not as leasehold creates it"), "{foreign}");
    client.batch_execute(&format!("DROP TABLE {namespace}_fence")).await.unwrap();
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl TestDatabase {
    async fn client(&self) -> Client {
        connect(&self.url).await.unwrap()
    }

    async fn raised(&self, name: &str, token: u64) -> Fence {
        let fence = self.table.fence(&term(name, token));
        fence.raise(&mut self.client().await, LONG).await.unwrap();
        fence
    }
}

async fn transactions_of_one_term_run_side_by_side(database: &TestDatabase) {
    let fence = database.raised("side by side", 7).await;
    let (mut one, mut other) = (database.client().await, database.client().await);
    let first = one.transaction().await.unwrap();
    fence.check(&first).await.unwrap();
    let second = other.transaction().await.unwrap();
    fence.check(&second).await.unwrap();
    // Raising the fence of the same term again does not wait for them either.
    fence.raise(&mut database.client().await, LONG).await.unwrap();
    second.commit().await.unwrap();
    first.commit().await.unwrap();
}

async fn an_open_older_transaction_blocks_raise(database: &TestDatabase) {
    let older = database.raised("blocked", 7).await;
    let (mut one, mut other) = (database.client().await, database.client().await);
    let mut raising = database.client().await;
    let open = one.transaction().await.unwrap();
    older.check(&open).await.unwrap();
    let session = open.query_one("SELECT pg_backend_pid()::bigint", &[]).await.unwrap();
    let session: i64 = session.get(0);

    let newer = database.table.fence(&term("blocked", 8));
    let error = newer.raise(&mut raising, SHORT).await.unwrap_err();
    let Error::Blocked(blocked) = error else { panic!("{error}") };
    assert!(blocked.waited >= SHORT, "{blocked:?}");
    let named: Vec<_> = blocked.sessions.iter().map(|session| session.id).collect();
    assert_eq!(named, [session]);

    // The older term was refused from the intent on.
    let late = other.transaction().await.unwrap();
    assert!(older.check(&late).await.unwrap_err().is_stale());
    late.rollback().await.unwrap();
    open.commit().await.unwrap();
    newer.raise(&mut raising, LONG).await.unwrap();
    assert!(older.raise(&mut raising, LONG).await.unwrap_err().is_stale());
    let current = one.transaction().await.unwrap();
    newer.check(&current).await.unwrap();
}

async fn raise_returns_after_the_older_transaction(database: &TestDatabase) {
    let older = database.raised("drained", 7).await;
    let (mut client, mut other) = (database.client().await, database.client().await);
    let open = client.transaction().await.unwrap();
    older.check(&open).await.unwrap();
    let newer = database.table.fence(&term("drained", 8));
    let raising = tokio::spawn(async move { newer.raise(&mut other, LONG).await });
    sleep(Duration::from_millis(300)).await;
    assert!(!raising.is_finished());
    open.commit().await.unwrap();
    raising.await.unwrap().unwrap();
}

async fn a_stream_of_older_transactions_does_not_delay_raise(database: &TestDatabase) {
    let older = database.raised("stream", 7).await;
    let raised = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for at in 0..4 {
        let (older, mut client) = (older.clone(), database.client().await);
        let raised = Arc::clone(&raised);
        writers.push(tokio::spawn(async move {
            sleep(Duration::from_millis(12 * at)).await;
            // A writer that is refused tries again at once.
            while !raised.load(Ordering::Relaxed) {
                let transaction = client.transaction().await.unwrap();
                if older.check(&transaction).await.is_ok() {
                    sleep(Duration::from_millis(50)).await;
                    transaction.commit().await.unwrap();
                } else {
                    transaction.rollback().await.unwrap();
                }
            }
        }));
    }
    sleep(Duration::from_millis(300)).await;
    database.raised("stream", 8).await;
    raised.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn a_guard_lets_only_the_newest_term_write(database: &TestDatabase) {
    let (client, namespace) = (database.client().await, &database.namespace);
    client.batch_execute(&format!("INSERT INTO {namespace}_ledger VALUES (0)")).await.unwrap();
    let older = database.raised("guarded", 7).await;
    let newer = database.raised("guarded", 8).await;
    for (fence, changed) in [(older, 0), (newer, 1)] {
        let guard = fence.guard(1);
        let update = format!("UPDATE {namespace}_ledger SET n = 1 WHERE {}", guard.sql());
        // The parameters of a guard on PostgreSQL are the name, the floor and the token.
        let [floor, token] = [fence.term().floor(), fence.term().token()].map(i64::from);
        let done = client.execute(&update, &[&"guarded", &floor, &token]).await.unwrap();
        assert_eq!(done, changed);
        assert_eq!(fence.verify(&client).await.is_ok(), changed == 1);
    }
}
