use leasehold::sqlite::SqliteStore;
use leasehold::{
    AcquireOutcome, ErrorKind, LeaseId, LockStore, Namespace, OpenOptions, RenewOptions,
    RenewOutcome, Schema,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};

use crate::{asking, grant, name, open, place};

const REQUIRED: fn() -> OpenOptions = || OpenOptions::default().with_schema(Schema::Require);

async fn plain_pool(path: &std::path::Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqlitePool::connect_with(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_processes_can_create_the_schema_at_once() {
    for _ in 0..5 {
        let (_folder, path) = place();
        let opens = (0..16).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { SqliteStore::open(path, &OpenOptions::default()).await })
        });
        let mut stores = Vec::new();
        for open in opens.collect::<Vec<_>>() {
            stores.push(open.await.unwrap().unwrap());
        }
        let lease = LeaseId::new();
        let first = grant(&stores[0], "a", lease).await;
        for store in &stores {
            assert_eq!(grant(store, "a", lease).await.token, first.token);
        }
    }
}

#[tokio::test]
async fn opening_an_existing_schema_writes_nothing() {
    let (_folder, path) = place();
    grant(&open(&path).await, "a", LeaseId::new()).await;
    // Such a connection may change nothing, and in particular not the schema.
    let options = SqliteConnectOptions::new().filename(&path).pragma("query_only", "ON");
    let pool = SqlitePool::connect_with(options).await.unwrap();
    for options in [OpenOptions::default(), REQUIRED()] {
        let store = SqliteStore::from_pool(pool.clone(), &options).await.unwrap();
        assert!(store.get(&name("a")).await.unwrap().unwrap().lease.is_some());
        let lease = store.get(&name("a")).await.unwrap().unwrap().lease.unwrap();
        let refused = store.release(&name("a"), lease.id).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Denied, "{refused}");
    }
}

#[tokio::test]
async fn missing_tables_are_created_only_if_allowed() {
    let (_folder, path) = place();
    let error = SqliteStore::open(&path, &REQUIRED()).await.unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("does not exist"), "{error}");
    assert!(!path.exists());

    let pool = plain_pool(&path).await;
    let error = SqliteStore::from_pool(pool.clone(), &REQUIRED()).await.unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("leasehold_locks"), "{error}");

    let script = SqliteStore::schema(&Namespace::default()).unwrap();
    for _ in 0..2 {
        sqlx::raw_sql(sqlx::AssertSqlSafe(script.clone())).execute(&pool).await.unwrap();
    }
    SqliteStore::from_pool(pool, &REQUIRED()).await.unwrap();
    SqliteStore::open(&path, &REQUIRED()).await.unwrap();
}

#[tokio::test]
async fn the_printed_schema_equals_the_created_one() {
    let options = OpenOptions::default().with_namespace(Namespace::new("app_2").unwrap());
    let script = leasehold::url::schema("sqlite:x", &options).unwrap();
    assert_eq!(script, SqliteStore::schema(&options.namespace).unwrap());
    assert!(script.contains("app_2_locks"));
}

#[tokio::test]
async fn another_table_of_that_name_is_refused() {
    let (_folder, path) = place();
    let pool = plain_pool(&path).await;
    sqlx::query("CREATE TABLE leasehold_locks (name TEXT)").execute(&pool).await.unwrap();
    let error = SqliteStore::open(&path, &OpenOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("leasehold_locks"), "{error}");

    let options = OpenOptions::default().with_namespace(Namespace::new("sqlite").unwrap());
    assert!(SqliteStore::open(&path, &options).await.unwrap_err().is_invalid());
}

/// This is the schema before schemas had versions.
const FIRST: &str = "CREATE TABLE leasehold_locks (
    name TEXT NOT NULL PRIMARY KEY COLLATE BINARY, token INTEGER NOT NULL, lease TEXT, holder TEXT,
    boot TEXT, expires_at INTEGER, granted_at INTEGER, ending TEXT, disabled_reason TEXT,
    disabled_by TEXT, disabled_at INTEGER, signal INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX leasehold_locks_signal ON leasehold_locks (signal);
CREATE TABLE leasehold_instances (
    instance TEXT NOT NULL PRIMARY KEY COLLATE BINARY, presence TEXT NOT NULL, boot TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID";

async fn first_schema(path: &std::path::Path, more: &str) -> SqlitePool {
    let pool = plain_pool(path).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("{FIRST}; {more}"))).execute(&pool).await.unwrap();
    pool
}

async fn definition(pool: &SqlitePool) -> String {
    sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = 'leasehold_locks'")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn schema_1_is_used_or_upgraded_to_2() {
    let (_folder, path) = place();
    let pool = first_schema(&path, "").await;
    let store = SqliteStore::from_pool(pool.clone(), &REQUIRED()).await.unwrap();
    let lease = LeaseId::new();
    let first = grant(&store, "a", lease).await;
    let renewal = RenewOptions::new(name("a"), lease, crate::TTL);
    let renewed = store.renew(&[renewal]).await.unwrap();
    assert!(matches!(renewed[..], [RenewOutcome::Extended { .. }]), "{renewed:?}");
    assert_eq!(store.list(&Default::default()).await.unwrap().len(), 1);
    assert!(!definition(&pool).await.contains("set_at"));

    let stores = [open(&path).await, open(&path).await];
    assert!(definition(&pool).await.contains("set_at INTEGER /* leasehold schema 2 */"));
    assert_eq!(grant(&stores[0], "a", lease).await.token, first.token);
    for store in [&store, &stores[1]] {
        store.release(&name("a"), lease).await.unwrap();
        grant(store, "a", lease).await;
    }
}

/// A store that was opened before the upgrade leaves the time of an earlier lease in the row.
#[tokio::test]
async fn a_lease_row_reused_by_schema_1_is_valid_in_other_containers() {
    let (_folder, path) = place();
    let pool = first_schema(&path, "").await;
    let old = SqliteStore::from_pool(pool, &REQUIRED()).await.unwrap();
    let new = open(&path).await;
    let mut short = asking(LeaseId::new());
    short.ttl = std::time::Duration::from_millis(50);
    let granted = new.acquire(&name("a"), &short).await.unwrap();
    assert!(matches!(granted, AcquireOutcome::Granted(_)), "{granted:?}");
    while let AcquireOutcome::Held(held) =
        old.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap()
    {
        tokio::time::sleep(held.left).await;
    }
    crate::sql(&new, "UPDATE leasehold_locks SET boot = 'another'").await;
    let outcome = new.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Held(_)), "{outcome:?}");
    let record = new.get(&name("a")).await.unwrap().unwrap();
    assert!(record.lease.is_some(), "{record:?}");
    // The earlier lease may also be from before a reboot.
    let before = "UPDATE leasehold_locks SET set_at = set_at + 900000000000";
    crate::sql(&new, before).await;
    let outcome = new.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Held(_)), "{outcome:?}");
}

/// A table that may not be changed is used as it is.
#[tokio::test]
async fn the_first_schema_is_used_unchanged_without_the_right_to_change_it() {
    let (_folder, path) = place();
    drop(first_schema(&path, "").await);
    let options = SqliteConnectOptions::new().filename(&path).pragma("query_only", "ON");
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let store = SqliteStore::from_pool(pool, &OpenOptions::default()).await.unwrap();
    assert_eq!(store.list(&Default::default()).await.unwrap(), []);
}

#[tokio::test]
async fn the_printed_schema_upgrades_schema_1() {
    let (_folder, path) = place();
    let script = SqliteStore::schema(&Namespace::default()).unwrap();
    let upgrade = script.lines().filter_map(|line| line.strip_prefix("-- "));
    let upgrade = upgrade.filter(|line| line.starts_with("ALTER TABLE")).collect::<String>();
    let pool = first_schema(&path, &upgrade).await;
    assert!(definition(&pool).await.contains("leasehold schema 2"));
    sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&pool).await.unwrap();
    grant(&SqliteStore::from_pool(pool, &REQUIRED()).await.unwrap(), "a", LeaseId::new()).await;
}

#[tokio::test]
async fn added_columns_do_no_harm_unless_they_must_be_filled() {
    for (column, harm) in [
        ("note TEXT", None),
        ("weight INTEGER NOT NULL DEFAULT 1", None),
        ("twice INTEGER AS (token * 2)", None),
        ("set_at INTEGER, note TEXT NOT NULL", Some("note is NOT NULL without a default")),
    ] {
        let (_folder, path) = place();
        let changed = FIRST
            .replace("signal INTEGER NOT NULL\n", &format!("signal INTEGER NOT NULL, {column}\n"));
        let pool = plain_pool(&path).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(changed)).execute(&pool).await.unwrap();
        match (SqliteStore::open(&path, &OpenOptions::default()).await, harm) {
            (Ok(store), None) => drop(grant(&store, "a", LeaseId::new()).await),
            (Err(error), Some(harm)) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{column}: {error}");
                assert!(error.to_string().contains(harm), "{column}: {error}");
            }
            (opened, _) => panic!("{column}: {opened:?}"),
        }
    }
}

#[tokio::test]
async fn schema_differences_are_named() {
    for (from, to, message) in [
        ("COLLATE BINARY, token", "COLLATE NOCASE, token", "byte for byte"),
        ("token INTEGER", "token TEXT", "column token is TEXT"),
        ("lease TEXT,", "lease TEXT NOT NULL,", "column lease differs"),
        ("boot TEXT, expires_at INTEGER, granted", "boot TEXT, granted", "no column expires_at"),
        (") STRICT, WITHOUT ROWID;\nCREATE INDEX", ") WITHOUT ROWID;\nCREATE INDEX", "STRICT"),
        ("(signal)", "(signal DESC)", "its definition differs"),
        ("presence TEXT NOT NULL", "presence TEXT", "column presence differs"),
    ] {
        let (_folder, path) = place();
        assert!(FIRST.contains(from), "{from}");
        let changed = FIRST.replacen(from, to, 1);
        let pool = plain_pool(&path).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(changed)).execute(&pool).await.unwrap();
        let error = SqliteStore::open(&path, &OpenOptions::default()).await.expect_err(to);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{to}: {error}");
        assert!(error.to_string().contains(message), "{to}: {error}");
    }
}

#[tokio::test]
async fn a_later_schema_is_refused() {
    let (_folder, path) = place();
    let later = "ALTER TABLE leasehold_locks ADD COLUMN more TEXT /* leasehold schema 3 */";
    let pool = first_schema(&path, later).await;
    for options in [OpenOptions::default(), REQUIRED()] {
        let error = SqliteStore::from_pool(pool.clone(), &options).await.unwrap_err();
        assert!(error.is_unsupported(), "{error}");
        let text = error.to_string();
        assert!(text.contains("schema 3") && text.contains("update this program"), "{text}");
    }
}

#[tokio::test]
async fn a_table_dropped_at_run_time_is_reported() {
    let (_folder, path) = place();
    let store = open(&path).await;
    crate::sql(&store, "DROP TABLE leasehold_locks").await;
    let error = store.get(&name("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn namespaces_in_one_file_are_separate() {
    let (_folder, path) = place();
    let one = open(&path).await;
    let options = OpenOptions::default().with_namespace(Namespace::new("two").unwrap());
    let two = SqliteStore::open(&path, &options).await.unwrap();
    grant(&one, "a", LeaseId::new()).await;
    assert!(two.get(&name("a")).await.unwrap().is_none());
    grant(&two, "a", LeaseId::new()).await;
}

#[tokio::test]
async fn an_applications_pool_is_not_reconfigured() {
    let (_folder, path) = place();
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Delete);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let store = SqliteStore::from_pool(pool.clone(), &OpenOptions::default()).await.unwrap();
    grant(&store, "a", LeaseId::new()).await;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&pool).await.unwrap();
    assert_eq!(mode, "delete");
    assert_eq!(store.label(), format!("sqlite:{}", path.canonicalize().unwrap().display()));
}

#[tokio::test]
async fn an_in_memory_pool_works() {
    for url in ["private", "shared"] {
        let pool =
            SqlitePoolOptions::new().min_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = match url {
            "private" => pool.max_connections(1).connect_with(SqliteConnectOptions::new()).await,
            _ => pool.max_connections(4).connect("sqlite::memory:").await,
        };
        let store = SqliteStore::from_pool(pool.unwrap(), &OpenOptions::default()).await.unwrap();
        let again = SqliteStore::from_pool(store.pool().clone(), &REQUIRED()).await.unwrap();
        let lease = LeaseId::new();
        let first = grant(&store, "a", lease).await;
        assert_eq!(grant(&again, "a", lease).await.token, first.token);
        assert_eq!(store.capabilities().reach, leasehold::Reach::Process);
        assert_eq!(store.label(), "sqlite::memory:");
    }
}

#[tokio::test]
async fn text_in_another_encoding_is_refused() {
    let (_folder, path) = place();
    let pool = plain_pool(&path).await;
    let mut connection = pool.acquire().await.unwrap();
    sqlx::raw_sql("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (a)")
        .execute(&mut *connection)
        .await
        .unwrap();
    let error = SqliteStore::open(&path, &OpenOptions::default()).await.unwrap_err();
    assert!(error.is_unsupported(), "{error}");
}
