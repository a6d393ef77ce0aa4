//! These cases cover earlier and later versions of the schema, and tables that differ from it.

use std::path::Path;
use std::time::Duration;

use leasehold::sqlite::SqliteStore;
use leasehold::{
    AcquireOutcome, ErrorKind, LeaseId, LockStore, Namespace, OpenOptions, RenewOptions,
    RenewOutcome,
};
use leasehold_conformance::CaseResult;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use super::support::{TTL, asking, disabling, grant, name, open, place, plain_pool, required, sql};

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

pub(super) async fn first_schema(path: &Path, more: &str) -> SqlitePool {
    let pool = plain_pool(path).await;
    sqlx::raw_sql(AssertSqlSafe(format!("{FIRST}; {more}"))).execute(&pool).await.unwrap();
    pool
}

async fn definition(pool: &SqlitePool) -> String {
    sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = 'leasehold_locks'")
        .fetch_one(pool)
        .await
        .unwrap()
}

pub(super) async fn schema_1_is_used_or_upgraded_to_2() -> CaseResult {
    let (_folder, path) = place();
    let pool = first_schema(&path, "").await;
    let store = SqliteStore::from_pool(pool.clone(), &required()).await.unwrap();
    let lease = LeaseId::new();
    let first = grant(&store, "a", lease).await;
    let (ending, lost) = (LeaseId::new(), LeaseId::new());
    grant(&store, "b", ending).await;
    store.disable(&name("b"), &disabling("upkeep")).await.unwrap();
    let renewals = [("a", lease), ("b", ending), ("c", lost)]
        .map(|(lock, lease)| RenewOptions::new(name(lock), lease, TTL));
    let renewed = store.renew(&renewals).await.unwrap();
    let [RenewOutcome::Extended { .. }, RenewOutcome::Disabled { reason, .. }, RenewOutcome::Lost] =
        &renewed[..]
    else {
        panic!("{renewed:?}");
    };
    assert_eq!(reason.as_str(), "upkeep");
    assert_eq!(store.list(&Default::default()).await.unwrap().len(), 2);
    assert!(!definition(&pool).await.contains("set_at"));

    let stores = [open(&path).await, open(&path).await];
    assert!(definition(&pool).await.contains("set_at INTEGER /* leasehold schema 2 */"));
    assert_eq!(grant(&stores[0], "a", lease).await.token, first.token);
    for store in [&store, &stores[1]] {
        store.release(&name("a"), lease).await.unwrap();
        grant(store, "a", lease).await;
    }
    Ok(())
}

/// A store that was opened before the upgrade leaves the time of an earlier lease in the row.
pub(super) async fn a_lease_row_reused_by_schema_1_is_valid_in_other_containers() -> CaseResult {
    let (_folder, path) = place();
    let pool = first_schema(&path, "").await;
    let old = SqliteStore::from_pool(pool, &required()).await.unwrap();
    let new = open(&path).await;
    let mut short = asking(LeaseId::new());
    short.ttl = Duration::from_millis(50);
    let granted = new.acquire(&name("a"), &short).await.unwrap();
    assert!(matches!(granted, AcquireOutcome::Granted(_)), "{granted:?}");
    while let AcquireOutcome::Held(held) =
        old.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap()
    {
        tokio::time::sleep(held.left).await;
    }
    sql(&new, "UPDATE leasehold_locks SET boot = 'another'").await;
    let outcome = new.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Held(_)), "{outcome:?}");
    let record = new.get(&name("a")).await.unwrap().unwrap();
    assert!(record.lease.is_some(), "{record:?}");
    // The earlier lease may also be from before a reboot.
    let before = "UPDATE leasehold_locks SET set_at = set_at + 900000000000";
    sql(&new, before).await;
    let outcome = new.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Held(_)), "{outcome:?}");
    Ok(())
}

/// A table that may not be changed is used as it is.
pub(super) async fn schema_1_is_used_without_ddl_rights() -> CaseResult {
    let (_folder, path) = place();
    drop(first_schema(&path, "").await);
    let options = SqliteConnectOptions::new().filename(&path).pragma("query_only", "ON");
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let store = SqliteStore::from_pool(pool, &OpenOptions::default()).await.unwrap();
    assert_eq!(store.list(&Default::default()).await.unwrap(), []);
    Ok(())
}

pub(super) async fn the_printed_schema_upgrades_schema_1() -> CaseResult {
    let (_folder, path) = place();
    let script = SqliteStore::schema(&Namespace::default()).unwrap();
    let upgrade = script.lines().filter_map(|line| line.strip_prefix("-- "));
    let upgrade = upgrade.filter(|line| line.starts_with("ALTER TABLE")).collect::<String>();
    let pool = first_schema(&path, &upgrade).await;
    assert!(definition(&pool).await.contains("leasehold schema 2"));
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&pool).await.unwrap();
    grant(&SqliteStore::from_pool(pool, &required()).await.unwrap(), "a", LeaseId::new()).await;
    Ok(())
}

pub(super) async fn added_columns_are_accepted_unless_they_need_a_value() -> CaseResult {
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
        sqlx::raw_sql(AssertSqlSafe(changed)).execute(&pool).await.unwrap();
        match (SqliteStore::open(&path, &OpenOptions::default()).await, harm) {
            (Ok(store), None) => drop(grant(&store, "a", LeaseId::new()).await),
            (Err(error), Some(harm)) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{column}: {error}");
                assert!(error.to_string().contains(harm), "{column}: {error}");
            }
            (opened, _) => panic!("{column}: {opened:?}"),
        }
    }
    Ok(())
}

pub(super) async fn schema_differences_are_named() -> CaseResult {
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
        sqlx::raw_sql(AssertSqlSafe(changed)).execute(&pool).await.unwrap();
        let error = SqliteStore::open(&path, &OpenOptions::default()).await.expect_err(to);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{to}: {error}");
        assert!(error.to_string().contains(message), "{to}: {error}");
    }
    Ok(())
}

pub(super) async fn a_later_schema_is_refused() -> CaseResult {
    let (_folder, path) = place();
    let later = "ALTER TABLE leasehold_locks ADD COLUMN more TEXT /* leasehold schema 3 */";
    let pool = first_schema(&path, later).await;
    for options in [OpenOptions::default(), required()] {
        let error = SqliteStore::from_pool(pool.clone(), &options).await.unwrap_err();
        assert!(error.is_unsupported(), "{error}");
        let text = error.to_string();
        assert!(text.contains("schema 3") && text.contains("update this program"), "{text}");
    }
    Ok(())
}
