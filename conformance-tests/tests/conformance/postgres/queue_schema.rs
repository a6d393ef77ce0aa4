//! These cases cover tables without the columns of queues, which earlier versions created.

use std::sync::Arc;

use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::expect::{granted, held, holds, queued};
use leasehold_conformance::{Backend, CaseResult, Client, race};
use leasehold_core::{LeaseId, LockKind, Namespace, ReleaseOutcome, RenewOutcome, Result};
use sqlx::{AssertSqlSafe, Executor};

use super::support::{LONG, entering, entry_renewal, fresh, name};
use super::{Postgres, options};

/// Creates the tables as earlier versions did.
async fn earlier_tables(backend: &Postgres, namespace: &Namespace) -> CaseResult {
    let drop = "DROP COLUMN kind, DROP COLUMN queue";
    let schema = PostgresStore::schema(namespace)?;
    backend.execute(format!("{schema} ALTER TABLE {namespace}_locks {drop}")).await?;
    Ok(())
}

async fn open(url: &str, namespace: &Namespace, schema: Schema) -> Result<Client> {
    let store = PostgresStore::connect(url, &options(namespace, schema)).await?;
    Ok(Client::new(Arc::new(store)))
}

async fn columns_of_queues(backend: &Postgres, namespace: &Namespace) -> CaseResult<i64> {
    let query = format!(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('{namespace}_locks') \
         AND attname IN ('kind', 'queue') AND NOT attisdropped"
    );
    Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(backend.admin()).await?)
}

/// Checks that the store has exclusive locks only, and says why.
async fn has_no_queues(client: &Client) -> CaseResult {
    assert!(!client.store().capabilities().queues);
    let job = name("exclusive");
    let taken = client.acquire_free(&job, LONG).await?;
    assert!(client.get(&job).await?.expect("it is on record").lease.is_some());
    client.release_held(&taken).await?;
    let entered = client.store().enter(&job, &entering(LeaseId::new(), LONG)).await;
    let error = entered.expect_err("it has no queues");
    assert!(error.is_unsupported(), "{error}");
    assert!(error.to_string().contains("ADD COLUMN IF NOT EXISTS queue jsonb"), "{error}");
    Ok(())
}

async fn has_queues(client: &Client) -> CaseResult {
    assert!(client.store().capabilities().queues);
    let (job, lease) = (name(&LeaseId::new().to_string()), LeaseId::new());
    let grant = granted(client.store().enter(&job, &entering(lease, LONG)).await?);
    let renewal = entry_renewal(job.as_str(), lease, LONG);
    let mut renewed = client.store().renew(&[renewal]).await?;
    assert_eq!(holds(renewed.remove(0)).1, grant.token);
    assert_eq!(client.store().leave(&job, lease).await?, ReleaseOutcome::Released);
    Ok(())
}

pub(super) async fn a_table_without_the_columns_of_queues_has_exclusive_locks_only(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    earlier_tables(&backend, &namespace).await?;
    has_no_queues(&open(backend.url(), &namespace, Schema::Require).await?).await?;
    // This user may not change the table.
    let user = backend.user_of_table(&namespace).await?;
    has_no_queues(&open(&user, &namespace, Schema::Create).await?).await?;
    assert_eq!(columns_of_queues(&backend, &namespace).await?, 0);
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn instances_that_open_a_table_at_once_add_the_columns_of_queues(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    earlier_tables(&backend, &namespace).await?;
    race((0..4).map(|_| {
        let (backend, namespace) = (Arc::clone(&backend), namespace.clone());
        async move { has_queues(&open(backend.url(), &namespace, Schema::Create).await?).await }
    }))
    .await?;
    assert_eq!(columns_of_queues(&backend, &namespace).await?, 2);
    // Queues need no other privileges than exclusive locks.
    let user = backend.user_of_table(&namespace).await?;
    has_queues(&open(&user, &namespace, Schema::Create).await?).await?;
    backend.clean(&namespace).await?;
    Ok(())
}

/// An earlier version of the program does not know the columns either: it sees the same row.
pub(super) async fn a_store_from_before_the_upgrade_finds_a_name_with_a_queue_held(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    earlier_tables(&backend, &namespace).await?;
    let old = open(backend.url(), &namespace, Schema::Require).await?;
    let new = open(backend.url(), &namespace, Schema::Create).await?;
    let (job, [first, second]) = (name("job"), [LeaseId::new(), LeaseId::new()]);
    granted(new.store().enter(&job, &entering(first, LONG)).await?);
    queued(new.store().enter(&job, &entering(second, LONG)).await?);
    held(old.acquire(&job, LeaseId::new(), LONG).await?);
    let record = old.get(&job).await?.expect("it is on record");
    assert!(record.lease.is_some() && record.kind == LockKind::Exclusive, "{record:?}");
    old.disable(&job, "upkeep").await?;
    let renewals = [first, second].map(|lease| entry_renewal("job", lease, LONG));
    for outcome in new.store().renew(&renewals).await? {
        assert!(
            matches!(&outcome, RenewOutcome::Disabled { reason, .. } if reason.as_str() == "upkeep"),
            "{outcome:?}"
        );
    }
    old.enable(&job).await?;
    for lease in [first, second] {
        assert_eq!(new.store().leave(&job, lease).await?, ReleaseOutcome::Released);
    }
    old.acquire_free(&job, LONG).await?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn columns_of_an_application_do_not_become_queues(
    backend: Arc<Postgres>,
) -> CaseResult {
    for columns in [
        "ADD COLUMN kind integer",
        "ADD COLUMN kind text NOT NULL DEFAULT ''",
        "ADD COLUMN kind text, ADD COLUMN queue text",
    ] {
        let namespace = fresh();
        earlier_tables(&backend, &namespace).await?;
        backend.execute(format!("ALTER TABLE {namespace}_locks {columns}")).await?;
        let client = open(backend.url(), &namespace, Schema::Create).await?;
        has_no_queues(&client).await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}

/// While it waited for the table, every other call would wait for it.
pub(super) async fn a_table_that_is_in_use_gets_the_columns_of_queues_later(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    earlier_tables(&backend, &namespace).await?;
    let mut transaction = backend.admin().begin().await?;
    let read = format!("SELECT FROM {namespace}_locks");
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(read))).await?;
    has_no_queues(&open(backend.url(), &namespace, Schema::Create).await?).await?;
    transaction.rollback().await?;
    has_queues(&open(backend.url(), &namespace, Schema::Create).await?).await?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn the_printed_schema_adds_the_columns_of_queues(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    earlier_tables(&backend, &namespace).await?;
    for _ in 0..2 {
        backend.execute(PostgresStore::schema(&namespace)?).await?;
    }
    has_queues(&open(backend.url(), &namespace, Schema::Require).await?).await?;
    backend.clean(&namespace).await?;
    Ok(())
}
