//! These cases run with diesel on PostgreSQL. Its calls block.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Text};
use diesel::{Connection, PgConnection, RunQueryDsl, select, sql_query};
use leasehold_fence::diesel::{PgFence, PgFenceTable};
use leasehold_fence::{Error, Namespace, Schema};
use leasehold_test_servers::catalog::POSTGRES;
use leasehold_test_servers::until_ready;
use tokio::task::spawn_blocking;

use super::{namespace, start, term};

type Transactions = <PgConnection as Connection>::TransactionManager;

/// A call that would otherwise wait forever fails after this time.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(1200);

/// All cases use this database, each with a lock name of its own.
struct TestDatabase {
    url: String,
    namespace: Namespace,
    table: PgFenceTable,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_older_transaction_commits_after_raise() {
    let Some((_server, url)) = start(&POSTGRES).await else { return };
    until_ready(|| ready(PgConnection::establish(&url).map(drop))).await.unwrap();
    let namespace = Namespace::new(format!("{}_diesel", namespace())).unwrap();
    spawn_blocking(move || run(url, namespace)).await.unwrap();
}

fn run(url: String, namespace: Namespace) {
    let mut connection = connect(&url);
    let missing = PgFenceTable::open(&mut connection, &namespace, Schema::Require).unwrap_err();
    assert!(missing.to_string().contains("is missing"), "{missing}");
    let table = PgFenceTable::open(&mut connection, &namespace, Schema::Create).unwrap();
    PgFenceTable::open(&mut connection, &namespace, Schema::Require).unwrap();
    let ledger = format!("CREATE TABLE {namespace}_ledger (n BIGINT)");
    connection.batch_execute(&ledger).unwrap();
    let database = TestDatabase { url, namespace: namespace.clone(), table };

    transactions_of_one_term_run_side_by_side(&database);
    an_open_older_transaction_blocks_raise(&database);
    raise_returns_after_the_older_transaction(&database);
    a_stream_of_older_transactions_does_not_delay_raise(&database);
    a_guard_lets_only_the_newest_term_write(&database);
    a_check_in_an_older_snapshot_is_a_conflict(&database);
    a_check_needs_a_transaction_and_raise_and_open_need_none(&database);

    for table in ["ledger", "fence", "fence_intent"] {
        connection.batch_execute(&format!("DROP TABLE {namespace}_{table}")).unwrap();
    }
    let foreign = format!("CREATE TABLE {namespace}_fence (name INT, price INT)");
    connection.batch_execute(&foreign).unwrap();
    let foreign = PgFenceTable::open(&mut connection, &namespace, Schema::Create).unwrap_err();
    assert!(foreign.to_string().contains("is not as leasehold creates it"), "{foreign}");
    connection.batch_execute(&format!("DROP TABLE {namespace}_fence")).unwrap();
}

fn connect(url: &str) -> PgConnection {
    let mut connection = PgConnection::establish(url).unwrap();
    connection.batch_execute(&format!("SET lock_timeout = {}", LONG.as_millis())).unwrap();
    connection
}

fn begin(connection: &mut PgConnection) {
    Transactions::begin_transaction(connection).unwrap();
}

fn commit(connection: &mut PgConnection) {
    Transactions::commit_transaction(connection).unwrap();
}

fn roll_back(connection: &mut PgConnection) {
    Transactions::rollback_transaction(connection).unwrap();
}

impl TestDatabase {
    fn connect(&self) -> PgConnection {
        connect(&self.url)
    }

    fn raised(&self, name: &str, token: u64) -> PgFence {
        let fence = self.table.fence(&term(name, token));
        fence.raise(&mut self.connect(), LONG).unwrap();
        fence
    }
}

fn transactions_of_one_term_run_side_by_side(database: &TestDatabase) {
    let fence = database.raised("side by side", 7);
    let (mut first, mut second) = (database.connect(), database.connect());
    begin(&mut first);
    fence.check(&mut first).unwrap();
    begin(&mut second);
    fence.check(&mut second).unwrap();
    // Raising the fence of the same term again does not wait for them either.
    fence.raise(&mut database.connect(), LONG).unwrap();
    commit(&mut second);
    commit(&mut first);
}

fn an_open_older_transaction_blocks_raise(database: &TestDatabase) {
    let older = database.raised("blocked", 7);
    let (mut open, mut late) = (database.connect(), database.connect());
    let mut raising = database.connect();
    begin(&mut open);
    older.check(&mut open).unwrap();
    let session = select(sql::<BigInt>("pg_backend_pid()::bigint"));
    let session = session.get_result::<i64>(&mut open).unwrap();

    let newer = database.table.fence(&term("blocked", 8));
    let error = newer.raise(&mut raising, SHORT).unwrap_err();
    let Error::Blocked(blocked) = error else { panic!("{error}") };
    assert!(blocked.waited >= SHORT, "{blocked:?}");
    let named: Vec<_> = blocked.sessions.iter().map(|session| session.id).collect();
    assert_eq!(named, [session]);

    // The older term was refused from the intent on.
    begin(&mut late);
    assert!(older.check(&mut late).unwrap_err().is_stale());
    roll_back(&mut late);
    commit(&mut open);
    newer.raise(&mut raising, LONG).unwrap();
    assert!(older.raise(&mut raising, LONG).unwrap_err().is_stale());
    begin(&mut open);
    newer.check(&mut open).unwrap();
}

fn raise_returns_after_the_older_transaction(database: &TestDatabase) {
    let older = database.raised("drained", 7);
    let (mut open, mut other) = (database.connect(), database.connect());
    begin(&mut open);
    older.check(&mut open).unwrap();
    let newer = database.table.fence(&term("drained", 8));
    let raising = thread::spawn(move || newer.raise(&mut other, LONG));
    sleep(Duration::from_millis(300));
    assert!(!raising.is_finished());
    commit(&mut open);
    raising.join().unwrap().unwrap();
}

fn a_stream_of_older_transactions_does_not_delay_raise(database: &TestDatabase) {
    let older = database.raised("stream", 7);
    let raised = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for at in 0..4 {
        let (older, mut connection) = (older.clone(), database.connect());
        let raised = Arc::clone(&raised);
        writers.push(thread::spawn(move || {
            sleep(Duration::from_millis(12 * at));
            // A writer that is refused tries again at once.
            while !raised.load(Ordering::Relaxed) {
                begin(&mut connection);
                if older.check(&mut connection).is_ok() {
                    sleep(Duration::from_millis(50));
                    commit(&mut connection);
                } else {
                    roll_back(&mut connection);
                }
            }
        }));
    }
    sleep(Duration::from_millis(300));
    database.raised("stream", 8);
    raised.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().unwrap();
    }
}

fn a_guard_lets_only_the_newest_term_write(database: &TestDatabase) {
    let (mut connection, namespace) = (database.connect(), &database.namespace);
    connection.batch_execute(&format!("INSERT INTO {namespace}_ledger VALUES (0)")).unwrap();
    let older = database.raised("guarded", 7);
    let newer = database.raised("guarded", 8);
    for (fence, changed) in [(older, 0), (newer, 1)] {
        let guard = fence.guard(1);
        // The parameters of a guard on PostgreSQL are the name, the floor and the token.
        let [floor, token] = [fence.term().floor(), fence.term().token()].map(i64::from);
        let update = format!("UPDATE {namespace}_ledger SET n = 1 WHERE {}", guard.sql());
        let update = sql_query(update)
            .bind::<Text, _>("guarded")
            .bind::<BigInt, _>(floor)
            .bind::<BigInt, _>(token);
        assert_eq!(update.execute(&mut connection).unwrap(), changed);
        assert_eq!(fence.verify(&mut connection).is_ok(), changed == 1);
    }
}

/// diesel shows that the database ended the transaction only by the kind of its error.
fn a_check_in_an_older_snapshot_is_a_conflict(database: &TestDatabase) {
    let older = database.raised("snapshot", 7);
    let mut connection = database.connect();
    begin(&mut connection);
    let snapshot = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1";
    connection.batch_execute(snapshot).unwrap();
    database.raised("snapshot", 8);
    let error = older.check(&mut connection).unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error}");
    roll_back(&mut connection);
    begin(&mut connection);
    assert!(older.check(&mut connection).unwrap_err().is_stale());
}

fn a_check_needs_a_transaction_and_raise_and_open_need_none(database: &TestDatabase) {
    let fence = database.raised("alone", 7);
    let mut connection = database.connect();
    let error = fence.check(&mut connection).unwrap_err();
    assert!(error.to_string().contains("outside a transaction"), "{error}");
    begin(&mut connection);
    let error = fence.raise(&mut connection, LONG).unwrap_err();
    assert!(error.to_string().contains("transactions of its own"), "{error}");
    let opened = PgFenceTable::open(&mut connection, &database.namespace, Schema::Create);
    let error = opened.unwrap_err();
    assert!(error.to_string().contains("outside of a transaction"), "{error}");
    // This one is a savepoint.
    begin(&mut connection);
    let error = fence.check(&mut connection).unwrap_err();
    assert!(error.to_string().contains("after a savepoint"), "{error}");
    roll_back(&mut connection);
    fence.check(&mut connection).unwrap();
    roll_back(&mut connection);
}
