//! These cases cover damaged rows, rows that calls wait for, and the sessions that read and write
//! rows.

use std::sync::Arc;
use std::time::Duration;

use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::expect::{extended, granted};
use leasehold_conformance::{Backend, CaseResult, Client, race, spawn};
use leasehold_core::{ErrorKind, LeaseId, ReleaseOutcome, RenewOptions, RenewOutcome};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::sleep;

use super::support::{LONG, fresh, name};
use super::{MySql, options};

pub(super) async fn a_corrupt_row_affects_only_its_own_name(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let sound = client.acquire_free(&name("sound"), LONG).await?;
    let damages = ["token = -7", "holder = 'no JSON'", "holder = NULL", "lease = 'x'"];
    for (number, damage) in damages.into_iter().enumerate() {
        let job = name(&format!("job {number}"));
        let taken = client.acquire_free(&job, LONG).await?;
        backend
            .execute(format!("UPDATE {namespace}_locks SET {damage} WHERE name = '{job}'"))
            .await?;
        let error = client.acquire(&job, LeaseId::new(), LONG).await.expect_err("it is corrupt");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}: {error:?}");
        assert!(error.to_string().contains(job.as_str()), "{damage}: {error}");
        let why = client.store().get(&job).await?.and_then(|record| record.corrupt);
        assert!(why.is_some_and(|why| why.contains(job.as_str())), "{damage}");
        let batch =
            [&taken, &sound].map(|taken| RenewOptions::new(taken.name.clone(), taken.lease, LONG));
        let renewed = client.store().renew(&batch).await?;
        assert!(matches!(renewed[1], RenewOutcome::Extended { .. }), "{damage}: {renewed:?}");
        assert!(matches!(renewed[0], RenewOutcome::Unknown { .. }), "{damage}: {renewed:?}");
    }
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn waiting_for_a_row_lock_revives_no_lease(backend: Arc<MySql>) -> CaseResult {
    let job = name("job");
    for releases in [false, true] {
        let namespace = fresh();
        let client = backend.connect(backend.url(), &namespace).await?;
        let taken = client.acquire_free(&job, Duration::from_millis(1500)).await?;
        let mut transaction = backend.admin().begin().await?;
        let lock = format!("SELECT 1 FROM {namespace}_locks WHERE name = 'job' FOR UPDATE");
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
        let locked = spawn(async move {
            // It is longer than the ttl, and shorter than a statement waits for a row.
            sleep(Duration::from_millis(1750)).await;
            transaction.rollback().await?;
            Ok(())
        });
        if releases {
            let released = client.release(&job, taken.lease).await?;
            assert_eq!(released, ReleaseOutcome::NotHeld);
        } else {
            let renewed = client.renew(&job, taken.lease, LONG).await?;
            assert_eq!(renewed, RenewOutcome::Lost, "it was in force only when the wait began");
        }
        locked.join().await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn session_settings_change_no_outcome(backend: Arc<MySql>) -> CaseResult {
    for setting in [
        "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,NO_UNSIGNED_SUBTRACTION'".to_owned(),
        "sql_mode = '', time_zone = '-11:30'".to_owned(),
        "NAMES latin1".to_owned(),
        "SESSION transaction_isolation = 'SERIALIZABLE'".to_owned(),
        "SESSION transaction_isolation = 'READ-UNCOMMITTED', sql_safe_updates = 1".to_owned(),
    ] {
        let namespace = fresh();
        let set = format!("SET {setting}");
        let pool = MySqlPoolOptions::new().max_connections(3).after_connect(move |session, _| {
            let set = set.clone();
            Box::pin(async move {
                session.execute(sqlx::raw_sql(AssertSqlSafe(set))).await?;
                Ok(())
            })
        });
        let pool = pool.connect(backend.url()).await?;
        let store = MySqlStore::from_pool(pool, &options(&namespace, Schema::Create)).await?;
        let client = Client::new(Arc::new(store));
        let job = name("jöb 🚧");
        let lease = LeaseId::new();
        let first = granted(client.acquire(&job, lease, LONG).await?);
        let again = granted(client.acquire(&job, lease, LONG).await?);
        assert_eq!(first.token, again.token, "{setting}");
        assert!(again.left <= LONG && again.left > LONG / 2, "{setting}: {:?}", again.left);
        let left = extended(client.renew(&job, lease, LONG).await?);
        assert!(left <= LONG, "{setting}");
        client.disable(&job, "größer 🚧").await?;
        let plain = backend.connect(backend.url(), &namespace).await?;
        let record = plain.get(&job).await?.expect("it is on record");
        assert_eq!(
            record.disabled.map(|d| d.reason.as_str().to_owned()).as_deref(),
            Some("größer 🚧")
        );
        assert_eq!(client.release(&job, lease).await?, ReleaseOutcome::Released);
        client.enable(&job).await?;
        let next = client.acquire_free(&job, LONG).await?;
        assert!(next.token > first.token, "{setting}");
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn batches_in_opposite_orders_do_not_fail(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let mut batch = Vec::new();
    for number in 0..60 {
        let taken = client.acquire_free(&name(&format!("job {number}")), LONG).await?;
        batch.push(RenewOptions::new(taken.name, taken.lease, LONG));
    }
    // An operator's own statement locks the rows in the other order, so that some statements are
    // rolled back because of a deadlock.
    let mut disturbing = backend.admin().acquire().await?.detach();
    let backwards =
        format!("SELECT COUNT(*) FROM {namespace}_locks FORCE INDEX (PRIMARY) ORDER BY name DESC");
    let operator = spawn(async move {
        let lock = format!("SELECT name FROM ({backwards} FOR UPDATE) AS x");
        let lock = lock.replace("COUNT(*)", "name");
        loop {
            // This statement may be the one that is rolled back.
            _ = disturbing.execute(sqlx::raw_sql(AssertSqlSafe(lock.clone()))).await;
            sleep(Duration::from_millis(1)).await;
        }
        #[allow(unreachable_code, reason = "it ends with the case")]
        Ok(())
    });
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
    drop(operator);
    backend.clean(&namespace).await?;
    Ok(())
}
