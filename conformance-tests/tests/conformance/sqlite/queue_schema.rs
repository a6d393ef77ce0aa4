//! These cases cover tables without the columns of queues, which earlier versions created.

use std::path::Path;

use leasehold::sqlite::SqliteStore;
use leasehold::{AcquireOutcome, LeaseId, LockKind, LockStore, OpenOptions, RenewOutcome};
use leasehold_conformance::CaseResult;
use sqlx::sqlite::SqlitePool;

use super::schema_versions::first_schema;
use super::support::{
    asking, disabling, enter, entering, entry_renewal, grant, name, open, place, required,
};

/// This takes a table of the first schema to the second, as it was before there were queues.
const SECOND: &str =
    "ALTER TABLE leasehold_locks ADD COLUMN set_at INTEGER /* leasehold schema 2 */";

async fn second_schema(path: &Path) -> SqlitePool {
    first_schema(path, SECOND).await
}

pub(super) async fn a_table_without_the_columns_of_queues_has_exclusive_locks_only() -> CaseResult {
    let (_folder, path) = place();
    let pool = second_schema(&path).await;
    let store = SqliteStore::from_pool(pool, &required()).await.unwrap();
    assert!(!store.capabilities().queues);
    let lease = LeaseId::new();
    grant(&store, "a", lease).await;
    store.release(&name("a"), lease).await.unwrap();
    let error = store.enter(&name("a"), &entering(LeaseId::new())).await.unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    let text = error.to_string();
    assert!(text.contains("ALTER TABLE leasehold_locks ADD COLUMN queue TEXT"), "{text}");

    // A store that may change the table adds the columns, and the version stays: an earlier program
    // may still open it.
    let stores = [open(&path).await, open(&path).await];
    let definition: String =
        sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name = 'leasehold_locks'")
            .fetch_one(stores[0].pool())
            .await?;
    assert_eq!(definition.matches("queue TEXT").count(), 1, "{definition}");
    assert!(!definition.contains("schema 3"), "{definition}");
    for store in &stores {
        assert!(store.capabilities().queues);
        let lease = LeaseId::new();
        assert!(matches!(enter(store, "a", lease).await, AcquireOutcome::Granted(_)));
        store.leave(&name("a"), lease).await.unwrap();
    }
    Ok(())
}

/// An earlier version of the program does not know the columns either: it sees the same row.
pub(super) async fn a_store_from_before_the_upgrade_finds_a_name_with_a_queue_held() -> CaseResult {
    let (_folder, path) = place();
    let old = SqliteStore::from_pool(second_schema(&path).await, &required()).await.unwrap();
    let new = open(&path).await;
    let [first, second] = [LeaseId::new(), LeaseId::new()];
    enter(&new, "a", first).await;
    enter(&new, "a", second).await;
    let outcome = old.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Held(_)), "{outcome:?}");
    let record = old.get(&name("a")).await.unwrap().unwrap();
    assert!(record.lease.is_some() && record.kind == LockKind::Exclusive, "{record:?}");
    old.disable(&name("a"), &disabling("upkeep")).await.unwrap();
    let renewals = [first, second].map(|lease| entry_renewal("a", lease));
    for outcome in new.renew(&renewals).await.unwrap() {
        assert!(
            matches!(&outcome, RenewOutcome::Disabled { reason, .. } if reason.as_str() == "upkeep"),
            "{outcome:?}"
        );
    }
    old.enable(&name("a")).await.unwrap();
    for lease in [first, second] {
        new.leave(&name("a"), lease).await.unwrap();
    }
    grant(&old, "a", LeaseId::new()).await;
    Ok(())
}

pub(super) async fn columns_of_an_application_do_not_become_queues() -> CaseResult {
    for columns in ["kind INTEGER", "kind TEXT", "queue TEXT NOT NULL DEFAULT ''"] {
        let (_folder, path) = place();
        let add = |column: &str| format!("; ALTER TABLE leasehold_locks ADD COLUMN {column}");
        let other = if columns.starts_with("kind") { "queue ANY" } else { "kind TEXT" };
        let more = format!("{SECOND}{}{}", add(columns), add(other));
        drop(first_schema(&path, &more).await);
        let store = SqliteStore::open(&path, &OpenOptions::default()).await.unwrap();
        assert!(!store.capabilities().queues, "{columns}");
        grant(&store, "a", LeaseId::new()).await;
        let error = store.enter(&name("b"), &entering(LeaseId::new())).await.unwrap_err();
        assert!(error.is_unsupported(), "{columns}: {error}");
    }
    Ok(())
}
