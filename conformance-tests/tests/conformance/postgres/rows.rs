//! These cases cover the rows of the table, and the calls that wait for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold::Schema;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::expect::{extended, granted, held, not_extended, refused};
use leasehold_conformance::{Backend, CLOCK_TOLERANCE, CaseResult, Client, race, spawn};
use leasehold_core::{ErrorKind, LeaseId, Namespace, RenewOptions, RenewOutcome};
use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::time::sleep;

use super::support::{LONG, fresh, name};
use super::{Postgres, options};

async fn opened(backend: &Postgres) -> CaseResult<(Namespace, Client)> {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    Ok((namespace, client))
}

pub(super) async fn a_corrupt_row_affects_only_its_own_name(backend: Arc<Postgres>) -> CaseResult {
    let (namespace, client) = opened(&backend).await?;
    let sound = client.acquire_free(&name("sound"), LONG).await?;
    for (number, damage) in [
        "token = 0",
        "token = -7",
        "token = 9223372036854775807",
        "holder = 'no JSON'",
        "holder = NULL",
        "expires_at = NULL",
        "expires_at = -9223372036854775808",
        "granted_at = NULL",
        "ending = ''",
        "lease = NULL",
        "disabled_reason = ''",
        "disabled_at = 5",
    ]
    .into_iter()
    .enumerate()
    {
        let job = name(&format!("job {number}"));
        let taken = client.acquire_free(&job, LONG).await?;
        let update = format!("UPDATE {namespace}_locks SET {damage} WHERE name = '{job}'");
        backend.execute(update.clone()).await?;
        let reported = client.store().get(&job).await?.and_then(|record| record.corrupt);
        // If the end of a lease was overwritten, the lease counts as expired.
        let refused = match damage.contains("-9223372036854775808") {
            true => None,
            false => client.acquire(&job, LeaseId::new(), LONG).await.err(),
        };
        assert!(reported.is_some() || refused.is_some(), "{damage}: no error is reported");
        if let Some(error) = &refused {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}: {error:?}");
        }
        for why in [reported, refused.map(|error| error.to_string())].into_iter().flatten() {
            assert!(why.contains(job.as_str()), "{damage}: {why}");
        }
        let batch =
            [&taken, &sound].map(|taken| RenewOptions::new(taken.name.clone(), taken.lease, LONG));
        let renewed = client.store().renew(&batch).await?;
        assert!(matches!(renewed[1], RenewOutcome::Extended { .. }), "{damage}: {renewed:?}");
        if ["ending = ''", "disabled_reason = ''"].contains(&damage) {
            assert!(matches!(renewed[0], RenewOutcome::Unknown { .. }), "{damage}: {renewed:?}");
        }
        backend.execute(format!("DELETE FROM {namespace}_locks WHERE name = '{job}'")).await?;
        client.acquire_free(&job, LONG).await?;
    }
    backend.clean(&namespace).await?;
    Ok(())
}

/// Keeps the row locked until the lease has expired, and then rolls back, so that PostgreSQL does
/// not evaluate the conditions again. The task returns the time before that.
async fn lock_past_the_end(
    backend: &Postgres,
    namespace: &Namespace,
    commit: bool,
) -> CaseResult<leasehold_conformance::Task<Instant>> {
    let mut transaction = backend.admin().begin().await?;
    let lock = format!("SELECT FROM {namespace}_locks WHERE name = 'job' FOR UPDATE");
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
    Ok(spawn(async move {
        sleep(Duration::from_millis(2500)).await;
        let ended = Instant::now();
        if commit {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(ended)
    }))
}

pub(super) async fn waiting_for_a_row_lock_revives_no_lease(backend: Arc<Postgres>) -> CaseResult {
    let job = name("job");
    for commit in [false, true] {
        let (namespace, client) = opened(&backend).await?;
        let taken = client.acquire_free(&job, Duration::from_millis(1500)).await?;
        let locked = lock_past_the_end(&backend, &namespace, commit).await?;
        let renewed = client.renew(&job, taken.lease, LONG).await?;
        locked.join().await?;
        assert_eq!(renewed, RenewOutcome::Lost, "it was in force only when the wait began");
        let taken = client.acquire_free(&job, Duration::from_millis(1500)).await?;
        let locked = lock_past_the_end(&backend, &namespace, commit).await?;
        // Nobody else could be granted the name during the wait, so the lease may be ended or over.
        client.release(&job, taken.lease).await?;
        locked.join().await?;
        assert_eq!(client.lease_of(&job).await?, None);
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn a_lease_counts_from_its_grant_and_not_from_the_request(
    backend: Arc<Postgres>,
) -> CaseResult {
    let (namespace, client) = opened(&backend).await?;
    let job = name("job");
    // Another store releases the name: this one would begin with the statement for a free name.
    let other = backend.connect(backend.url(), &namespace).await?;
    other.release_held(&other.acquire_free(&job, LONG).await?).await?;
    let locked = lock_past_the_end(&backend, &namespace, false).await?;
    let taken = client.acquire_free(&job, LONG).await?;
    let waited_until = locked.join().await?;
    // If the lease counted from the request, the wait would be subtracted from the remaining time.
    let lease = client.lease_of(&job).await?.expect("the lease is in force");
    let least = LONG.saturating_sub(waited_until.elapsed() + CLOCK_TOLERANCE);
    assert!(lease.left >= least, "{:?} is left, {least:?} at least", lease.left);
    assert_eq!(lease.id, taken.lease);
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn batches_in_opposite_orders_do_not_deadlock(
    backend: Arc<Postgres>,
) -> CaseResult {
    let (namespace, client) = opened(&backend).await?;
    let mut batch = Vec::new();
    for number in 0..60 {
        let taken = client.acquire_free(&name(&format!("job {number}")), LONG).await?;
        batch.push(RenewOptions::new(taken.name, taken.lease, LONG));
    }
    race((0..8).map(|turn| {
        let (client, mut batch) = (client.clone(), batch.clone());
        async move {
            for _ in 0..15 {
                if turn % 2 == 0 {
                    batch.reverse();
                }
                for outcome in client.store().renew(&batch).await? {
                    extended(outcome);
                }
            }
            Ok(())
        }
    }))
    .await?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn stricter_isolation_levels_are_supported(backend: Arc<Postgres>) -> CaseResult {
    for level in ["repeatable%5C%20read", "serializable"] {
        let namespace = fresh();
        let option = format!("options=-c%20default_transaction_isolation%3D{level}");
        let url = backend.url_with(&option);
        let clients =
            [backend.connect(&url, &namespace).await?, backend.connect(&url, &namespace).await?];
        race((0..12).map(|contender| {
            let client = clients[contender % 2].clone();
            async move {
                for _ in 0..4 {
                    let taken = client.acquire_when_free(&name("job"), LONG).await?;
                    extended(client.renew(&taken.name, taken.lease, LONG).await?);
                    client.release_held(&taken).await?;
                }
                Ok(())
            }
        }))
        .await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn a_refused_acquire_writes_nothing(backend: Arc<Postgres>) -> CaseResult {
    let (namespace, client) = opened(&backend).await?;
    let job = name("job");
    client.acquire_free(&job, LONG).await?;
    let query = format!("SELECT xmin::text, xmax::text, ctid::text FROM {namespace}_locks");
    let version = || async {
        let row = sqlx::query(AssertSqlSafe(query.clone())).fetch_one(backend.admin()).await?;
        Ok::<[String; 3], sqlx::Error>([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?])
    };
    let before = version().await?;
    // The call does not wait for the session that has locked the row either.
    let mut transaction = backend.admin().begin().await?;
    let lock = format!("SELECT FROM {namespace}_locks FOR UPDATE");
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
    for _ in 0..5 {
        held(client.acquire(&job, LeaseId::new(), LONG).await?);
    }
    transaction.rollback().await?;
    let after = version().await?;
    assert_eq!((&before[0], &before[2]), (&after[0], &after[2]));
    client.disable(&job, "upkeep").await?;
    let before = version().await?;
    client.acquire(&job, LeaseId::new(), LONG).await?;
    assert_eq!(before, version().await?);
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn an_ending_lease_stays_ending_when_the_clock_is_set_back(
    backend: Arc<Postgres>,
) -> CaseResult {
    let (namespace, client) = opened(&backend).await?;
    let job = name("job");
    let taken = client.acquire_free(&job, Duration::from_millis(300)).await?;
    sleep(Duration::from_millis(600)).await;
    client.disable(&job, "upkeep").await?;
    // This is how the record looks after the clock was set back.
    let back = format!("UPDATE {namespace}_locks SET expires_at = expires_at + 100000000");
    backend.execute(back).await?;
    let (reason, _) = not_extended(client.renew(&job, taken.lease, LONG).await?);
    assert_eq!(reason.as_str(), "upkeep");
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn tokens_increase_when_the_clock_is_set_back(
    backend: Arc<Postgres>,
) -> CaseResult {
    let (namespace, client) = opened(&backend).await?;
    client.release_held(&client.acquire_free(&name("job"), LONG).await?).await?;
    backend.execute(format!("UPDATE {namespace}_locks SET token = 7000000000000000")).await?;
    assert_eq!(client.acquire_free(&name("job"), LONG).await?.token.get(), 7_000_000_000_000_001);
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_concurrent_disable_wins_over_an_acquire(
    backend: Arc<Postgres>,
) -> CaseResult {
    let (namespace, client) = opened(&backend).await?;
    let job = name("job");
    client.release_held(&client.acquire_free(&job, LONG).await?).await?;
    let mut transaction = backend.admin().begin().await?;
    let disable = format!("UPDATE {namespace}_locks SET disabled_reason = 'x', disabled_at = 1");
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(disable))).await?;
    // The call finds the name free, and waits for the row.
    let asking = spawn({
        let (client, job) = (client.clone(), job.clone());
        async move { Ok(client.acquire(&job, LeaseId::new(), LONG).await?) }
    });
    sleep(Duration::from_secs(1)).await;
    transaction.commit().await?;
    refused(asking.join().await?);
    assert_eq!(client.lease_of(&job).await?, None, "refused, but granted");
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn deallocated_statements_are_prepared_again(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let pool = pool.connect(backend.url()).await?;
    let store =
        PostgresStore::from_pool(pool.clone(), &options(&namespace, Schema::Create)).await?;
    let client = Client::new(Arc::new(store));
    let lease = LeaseId::new();
    for _ in 0..3 {
        granted(client.acquire(&name("job"), lease, LONG).await?);
        extended(client.renew(&name("job"), lease, LONG).await?);
        pool.execute(sqlx::raw_sql("DEALLOCATE ALL")).await?;
    }
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_dropped_table_is_reported_and_used_once_it_exists_again(
    backend: Arc<Postgres>,
) -> CaseResult {
    let (namespace, client) = opened(&backend).await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    backend.execute(format!("DROP TABLE {namespace}_locks")).await?;
    let error = client.renew(&taken.name, taken.lease, LONG).await.expect_err("no table");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    backend.execute(PostgresStore::schema(&namespace)?).await?;
    let again = client.acquire_free(&name("job"), LONG).await?;
    assert!(again.token > taken.token);
    backend.clean(&namespace).await?;
    Ok(())
}
