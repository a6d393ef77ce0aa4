//! These cases cover the queues of locks: calls that wait for a row, damaged rows, the settings of
//! sessions and hints.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::expect::{conflict, granted, holds, queued, waits};
use leasehold_conformance::{Backend, CaseResult, Client, Task, spawn};
use leasehold_core::{
    AcquireOutcome, EnterOptions, ErrorKind, Hint, LeaseId, ListOptions, LockKind, LockRecord,
    LockState, Namespace, ReleaseOutcome, RenewOptions, RenewOutcome,
};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::{sleep, timeout};

use super::support::{LONG, entering, entry_renewal, fresh, name};
use super::{MySql, options};

const SHORT: Duration = Duration::from_millis(1500);

/// After each of these assignments, the row of two entries is not one that Leasehold wrote.
const DAMAGE: &[&str] = &[
    "kind = NULL",
    "kind = ''",
    "kind = 'exclusive'",
    "kind = 'semaphore:0'",
    "queue = NULL",
    "queue = ''",
    "queue = '['",
    "queue = '[]'",
    "queue = '{}'",
    "queue = JSON_SET(queue, '$[0].l', 'no uuid')",
    "queue = JSON_SET(queue, '$[0].l', '00000000-0000-0000-0000-000000000000')",
    "queue = JSON_SET(queue, '$[0].l', JSON_UNQUOTE(JSON_EXTRACT(queue, '$[1].l')))",
    "queue = JSON_SET(queue, '$[0].p', JSON_EXTRACT(queue, '$[1].p'))",
    "queue = JSON_SET(queue, '$[0].p', 0)",
    "queue = JSON_SET(queue, '$[0].w', 2)",
    "queue = JSON_SET(queue, '$[0].w', 0)",
    "queue = JSON_SET(queue, '$[0].h', '{')",
    "queue = JSON_REMOVE(queue, '$[0].h')",
    "queue = JSON_REMOVE(queue, '$[0].x')",
    "queue = JSON_SET(queue, '$[0].t', -1)",
    "queue = JSON_SET(queue, '$[0].e', '')",
];

pub(super) async fn a_corrupt_queue_is_reported_and_concerns_only_its_own_name(
    backend: Arc<MySql>,
) -> CaseResult {
    for damage in DAMAGE {
        let namespace = fresh();
        let client = backend.connect(backend.url(), &namespace).await?;
        let store = client.store();
        let [first, second, other] = [LeaseId::new(), LeaseId::new(), LeaseId::new()];
        for (lock, lease) in [("a", first), ("a", second), ("b", other)] {
            store.enter(&name(lock), &entering(lease, LONG)).await?;
        }
        let statement = format!("UPDATE {namespace}_locks SET {damage} WHERE name = 'a'");
        backend.execute(statement).await?;

        let renewals = [entry_renewal("a", first, LONG), entry_renewal("b", other, LONG)];
        let outcomes = store.renew(&renewals).await?;
        let [RenewOutcome::Unknown { why, .. }, RenewOutcome::Extended { .. }] = &outcomes[..]
        else {
            panic!("{damage}: {outcomes:?}");
        };
        assert!(why.contains("_locks"), "{damage}: {why}");
        for error in [
            store.enter(&name("a"), &entering(LeaseId::new(), LONG)).await.expect_err(damage),
            client.acquire(&name("a"), LeaseId::new(), LONG).await.expect_err(damage),
        ] {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}: {error}");
        }
        let listed = store.list(&ListOptions::default()).await?;
        let states: Vec<_> = listed.iter().map(LockRecord::state).collect();
        assert_eq!(states, [LockState::Corrupt, LockState::Held], "{damage}");
        backend.clean(&namespace).await?;
    }
    Ok(())
}

/// An exclusive lock does not clear what an earlier queue left in the row.
pub(super) async fn an_earlier_queue_of_the_row_has_no_effect(backend: Arc<MySql>) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let store = client.store();
    let (entry, lease) = (LeaseId::new(), LeaseId::new());
    granted(store.enter(&name("a"), &entering(entry, LONG)).await?);
    backend.execute(format!("UPDATE {namespace}_locks SET expires_at = 1")).await?;
    granted(client.acquire(&name("a"), lease, LONG).await?);
    let stays = format!("UPDATE {namespace}_locks SET queue = CONCAT(queue, 'damaged')");
    backend.execute(stays).await?;
    let record = store.get(&name("a")).await?.expect("it is on record");
    assert_eq!((record.kind, record.queue), (LockKind::Exclusive, None));
    assert_eq!(store.renew(&[entry_renewal("a", entry, LONG)]).await?, [RenewOutcome::Lost]);
    assert_eq!(store.leave(&name("a"), entry).await?, ReleaseOutcome::NotHeld);
    conflict(store.enter(&name("a"), &entering(entry, LONG)).await);
    let renewal = RenewOptions::new(name("a"), lease, LONG);
    assert!(matches!(store.renew(&[renewal]).await?[..], [RenewOutcome::Extended { .. }]));
    client.release(&name("a"), lease).await?;
    granted(store.enter(&name("a"), &entering(entry, LONG)).await?);
    backend.clean(&namespace).await?;
    Ok(())
}

/// Locks the row `job` for longer than `SHORT`, and for less than the 2 s for which a statement waits
/// for it. In the same transaction, the row gets these values.
async fn locked(backend: &MySql, namespace: &Namespace, statement: &str) -> CaseResult<Task<()>> {
    let mut transaction = backend.admin().begin().await?;
    let lock = format!("SELECT 1 FROM {namespace}_locks WHERE name = 'job' FOR UPDATE");
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
    if !statement.is_empty() {
        let statement = format!("UPDATE {namespace}_locks SET {statement}");
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await?;
    }
    Ok(spawn(async move {
        sleep(SHORT + Duration::from_millis(250)).await;
        transaction.commit().await?;
        Ok(())
    }))
}

pub(super) async fn waiting_for_a_row_lock_revives_no_entry(backend: Arc<MySql>) -> CaseResult {
    let job = name("job");
    for leaves in [false, true] {
        let namespace = fresh();
        let client = backend.connect(backend.url(), &namespace).await?;
        let lease = LeaseId::new();
        granted(client.store().enter(&job, &entering(lease, SHORT)).await?);
        let blocker = locked(&backend, &namespace, "").await?;
        if leaves {
            let left = client.store().leave(&job, lease).await?;
            assert_eq!(left, ReleaseOutcome::NotHeld);
        } else {
            let renewed = client.store().renew(&[entry_renewal("job", lease, LONG)]).await?;
            assert_eq!(renewed, [RenewOutcome::Lost], "it was live only when the wait began");
        }
        blocker.join().await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}

/// The clock is read after the wait: it decides which entries are live, and the token follows it.
pub(super) async fn an_entry_that_expires_while_another_waits_for_the_row_holds_nobody_up(
    backend: Arc<MySql>,
) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let enter = async |ttl| {
        let attempt = entering(LeaseId::new(), ttl);
        client.store().enter(&name("job"), &attempt).await
    };
    let first = granted(enter(SHORT).await?);
    let blocker = locked(&backend, &namespace, "").await?;
    let second = granted(enter(LONG).await?);
    let ttl = u64::try_from(SHORT.as_micros()).expect("it is short");
    assert!(second.token.get() >= first.token.get() + ttl, "{first:?} {second:?}");
    blocker.join().await?;
    backend.clean(&namespace).await?;
    Ok(())
}

/// The statement of an abandoned call still gets its turn at the row.
pub(super) async fn an_abandoned_attempt_makes_no_entry_after_its_ttl(
    backend: Arc<MySql>,
) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let (store, job) = (client.store(), name("job"));
    granted(store.enter(&job, &entering(LeaseId::new(), LONG)).await?);
    let blocker = locked(&backend, &namespace, "").await?;
    let attempt = entering(LeaseId::new(), Duration::from_millis(500));
    let abandoned = timeout(Duration::from_millis(100), store.enter(&job, &attempt)).await;
    assert!(abandoned.is_err(), "the row is locked");
    blocker.join().await?;
    // This one gets its turn after the abandoned one.
    let next = queued(store.enter(&job, &entering(LeaseId::new(), LONG)).await?);
    assert_eq!(next.ahead, 1);
    backend.clean(&namespace).await?;
    Ok(())
}

/// To a read that does not wait for it, the entry ahead would seem to have expired.
pub(super) async fn an_entry_that_is_being_renewed_is_not_taken_for_expired(
    backend: Arc<MySql>,
) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let (store, job) = (client.store(), name("job"));
    granted(store.enter(&job, &entering(LeaseId::new(), SHORT)).await?);
    let waiter = entering(LeaseId::new(), LONG);
    queued(store.enter(&job, &waiter).await?);
    let extend = "queue = JSON_SET(queue, \
         '$[0].x', CAST(JSON_EXTRACT(queue, '$[0].x') AS SIGNED) + 400000000)";
    let blocker = locked(&backend, &namespace, extend).await?;
    assert_eq!(queued(store.enter(&job, &waiter).await?).ahead, 1);
    blocker.join().await?;
    let mut renewed = store.renew(&[entry_renewal("job", waiter.lease, LONG)]).await?;
    assert_eq!(waits(renewed.remove(0)).1, 1);
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn session_settings_change_no_outcome_of_a_queue(
    backend: Arc<MySql>,
) -> CaseResult {
    for setting in [
        "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,NO_UNSIGNED_SUBTRACTION'",
        "sql_mode = 'ONLY_FULL_GROUP_BY,TRADITIONAL', time_zone = '-11:30'",
        "NAMES latin1",
        "SESSION transaction_isolation = 'SERIALIZABLE'",
        "SESSION transaction_isolation = 'READ-UNCOMMITTED', sql_safe_updates = 1",
    ] {
        let namespace = fresh();
        let pool = MySqlPoolOptions::new().max_connections(3).after_connect(move |session, _| {
            Box::pin(async move {
                let set = AssertSqlSafe(format!("SET {setting}"));
                session.execute(sqlx::raw_sql(set)).await?;
                Ok(())
            })
        });
        let pool = pool.connect(backend.url()).await?;
        let store = MySqlStore::from_pool(pool, &options(&namespace, Schema::Create)).await?;
        let client = Client::new(Arc::new(store));
        let (store, job) = (client.store(), name("jöb 🚧"));
        let labelled = |lease| {
            let mut attempt = entering(lease, LONG);
            attempt.holder.label = Some("größer \"🚧\" \\".to_owned());
            attempt
        };
        let [first, second, third] = [(); 3].map(|()| labelled(LeaseId::new()));
        let one = granted(store.enter(&job, &first).await?);
        let two = queued(store.enter(&job, &second).await?);
        assert!(two.token > one.token && two.ahead == 1, "{setting}: {two:?}");
        client.disable(&job, "größer 🚧").await?;
        client.enable(&job).await?;
        let three = queued(store.enter(&job, &third).await?);
        assert!(three.token > two.token && three.ahead == 2, "{setting}: {three:?}");
        let renewal = |attempt: &EnterOptions| {
            RenewOptions::new(job.clone(), attempt.lease, LONG).of_entry(true)
        };
        let mut renewed = store.renew(&[&first, &third].map(renewal)).await?;
        assert_eq!(waits(renewed.pop().expect("two were sent")).1, 2, "{setting}");
        let ending = renewed.pop().expect("two were sent");
        assert!(
            matches!(&ending, RenewOutcome::Disabled { reason, .. }
                if reason.as_str() == "größer 🚧"),
            "{setting}: {ending:?}"
        );
        let record = store.get(&job).await?.expect("it is on record");
        let queue = record.queue.expect("it has entries");
        assert!(queue.entries.iter().all(|entry| entry.holder == first.holder), "{setting}");
        for attempt in [&first, &second] {
            assert_eq!(store.leave(&job, attempt.lease).await?, ReleaseOutcome::Released);
        }
        let mut renewed = store.renew(&[renewal(&third)]).await?;
        assert_eq!(holds(renewed.remove(0)).1, three.token, "{setting}");
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn a_hint_names_the_entries_that_hold_the_lock_after_one_has_left(
    backend: Arc<MySql>,
) -> CaseResult {
    let namespace = fresh();
    let one = backend.connect(backend.url(), &namespace).await?;
    let two = backend.connect(backend.url(), &namespace).await?;
    let job = name("job");
    let [first, second, third] = [LeaseId::new(), LeaseId::new(), LeaseId::new()];
    for lease in [first, second, third] {
        let outcome = one.store().enter(&job, &entering(lease, LONG)).await?;
        assert!(!matches!(outcome, AcquireOutcome::Disabled(_)), "{outcome:?}");
    }
    let mut hints = two.watch().await?;
    for (leaves, hint) in [
        (first, Hint::Entries(job.clone(), vec![second])),
        (second, Hint::Entries(job.clone(), vec![third])),
        (third, Hint::Name(job.clone())),
    ] {
        assert_eq!(one.store().leave(&job, leaves).await?, ReleaseOutcome::Released);
        assert_eq!(one.store().leave(&job, leaves).await?, ReleaseOutcome::NotHeld);
        let next = timeout(Duration::from_secs(30), hints.next()).await.expect("it is hinted");
        assert_eq!(next, Some(hint));
    }
    backend.clean(&namespace).await?;
    Ok(())
}
