//! These cases cover the queues of locks: calls that wait for a row, damaged rows and hints.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold_conformance::expect::{conflict, granted, holds, queued, waits};
use leasehold_conformance::{Backend, CaseResult, Task, race, spawn};
use leasehold_core::{
    AcquireOutcome, ErrorKind, Hint, LeaseId, ListOptions, LockKind, LockRecord, LockState,
    Namespace, ReleaseOutcome, RenewOptions, RenewOutcome,
};
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::{sleep, timeout};

use super::Postgres;
use super::support::{LONG, entering, entry_renewal, fresh, name};

const SHORT: Duration = Duration::from_millis(1500);

/// After each of these assignments, the row of two entries is not one that Leasehold wrote.
const DAMAGE: &[&str] = &[
    "kind = NULL",
    "kind = ''",
    "kind = 'exclusive'",
    "kind = 'semaphore:0'",
    "queue = NULL",
    "queue = 'null'",
    "queue = '5'",
    "queue = '[]'",
    "queue = '{}'",
    "queue = '[5, null, [], {}]'",
    "queue = jsonb_set(queue, '{0}', '5')",
    "queue = jsonb_set(queue, '{0,l}', '\"no uuid\"')",
    "queue = jsonb_set(queue, '{0,l}', '\"00000000-0000-0000-0000-000000000000\"')",
    "queue = jsonb_set(queue, '{0,l}', queue #> '{1,l}')",
    "queue = jsonb_set(queue, '{0,p}', queue #> '{1,p}')",
    "queue = jsonb_set(queue, '{0,p}', '0')",
    "queue = jsonb_set(queue, '{0,w}', '2')",
    "queue = jsonb_set(queue, '{0,w}', '0')",
    "queue = jsonb_set(queue, '{0,h}', '\"{\"')",
    "queue = queue #- '{0,h}'",
    "queue = queue #- '{0,x}'",
    "queue = jsonb_set(queue, '{0,x}', '\"soon\"')",
    "queue = jsonb_set(queue, '{0,x}', '1e300')",
    "queue = jsonb_set(queue, '{0,t}', '-1')",
    "queue = jsonb_set(queue, '{0,e}', '\"\"')",
];

pub(super) async fn a_corrupt_queue_is_reported_and_concerns_only_its_own_name(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let store = client.store();
    for damage in DAMAGE {
        let [first, second, other] = [LeaseId::new(), LeaseId::new(), LeaseId::new()];
        for (lock, lease) in [("a", first), ("a", second), ("b", other)] {
            store.enter(&name(lock), &entering(lease, LONG)).await?;
        }
        backend.execute(format!("UPDATE {namespace}_locks SET {damage} WHERE name = 'a'")).await?;

        let renewals = [entry_renewal("a", first, LONG), entry_renewal("b", other, LONG)];
        let outcomes = store.renew(&renewals).await?;
        let [RenewOutcome::Unknown { why, .. }, RenewOutcome::Extended { .. }] = &outcomes[..]
        else {
            panic!("{damage}: {outcomes:?}");
        };
        assert!(why.contains("_locks"), "{damage}: {why}");
        for error in [
            store.leave(&name("a"), LeaseId::new()).await.expect_err(damage),
            store.enter(&name("a"), &entering(LeaseId::new(), LONG)).await.expect_err(damage),
            client.acquire(&name("a"), LeaseId::new(), LONG).await.expect_err(damage),
        ] {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}: {error}");
        }
        let listed = store.list(&ListOptions::default()).await?;
        let states: Vec<_> = listed.iter().map(LockRecord::state).collect();
        assert_eq!(states, [LockState::Corrupt, LockState::Held], "{damage}");
        backend.execute(format!("DELETE FROM {namespace}_locks")).await?;
    }
    backend.clean(&namespace).await?;
    Ok(())
}

/// An exclusive lock does not clear what an earlier queue left in the row.
pub(super) async fn an_earlier_queue_of_the_row_has_no_effect(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let store = client.store();
    let (entry, lease) = (LeaseId::new(), LeaseId::new());
    granted(store.enter(&name("a"), &entering(entry, LONG)).await?);
    backend.execute(format!("UPDATE {namespace}_locks SET expires_at = 1")).await?;
    granted(client.acquire(&name("a"), lease, LONG).await?);
    backend.execute(format!("UPDATE {namespace}_locks SET queue = '[5, {{}}]'")).await?;
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

/// Locks the row `job` for longer than `SHORT`. In the same transaction, the row gets these values.
/// If it is rolled back, PostgreSQL does not evaluate the conditions of those that waited again.
async fn locked(
    backend: &Postgres,
    namespace: &Namespace,
    assignment: &str,
    commit: bool,
) -> CaseResult<Task<()>> {
    let mut transaction = backend.admin().begin().await?;
    let lock = format!("SELECT FROM {namespace}_locks WHERE name = 'job' FOR UPDATE");
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
    let update = format!("UPDATE {namespace}_locks SET {assignment}");
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(update))).await?;
    Ok(spawn(async move {
        sleep(SHORT + Duration::from_secs(1)).await;
        if commit {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(())
    }))
}

/// This changes nothing.
const SAME: &str = "granted_at = granted_at";

pub(super) async fn waiting_for_a_row_lock_revives_no_entry(backend: Arc<Postgres>) -> CaseResult {
    let job = name("job");
    for (leaves, commit) in [(false, false), (false, true), (true, false), (true, true)] {
        let namespace = fresh();
        let client = backend.connect(backend.url(), &namespace).await?;
        let lease = LeaseId::new();
        granted(client.store().enter(&job, &entering(lease, SHORT)).await?);
        let blocker = locked(&backend, &namespace, SAME, commit).await?;
        if leaves {
            let left = client.store().leave(&job, lease).await?;
            assert_eq!(left, ReleaseOutcome::NotHeld, "committed: {commit}");
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
    backend: Arc<Postgres>,
) -> CaseResult {
    for commit in [false, true] {
        let namespace = fresh();
        let client = backend.connect(backend.url(), &namespace).await?;
        let enter = async |ttl| {
            let attempt = entering(LeaseId::new(), ttl);
            client.store().enter(&name("job"), &attempt).await
        };
        let first = granted(enter(SHORT).await?);
        let blocker = locked(&backend, &namespace, SAME, commit).await?;
        let second = granted(enter(LONG).await?);
        let ttl = u64::try_from(SHORT.as_micros()).expect("it is short");
        assert!(second.token.get() >= first.token.get() + ttl, "{first:?} {second:?}");
        blocker.join().await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}

/// To a read that does not wait for it, the entry ahead would seem to have expired.
pub(super) async fn an_entry_that_is_being_renewed_is_not_taken_for_expired(
    backend: Arc<Postgres>,
) -> CaseResult {
    let extend = "queue = jsonb_set(queue, '{0,x}', \
         to_jsonb((queue #>> '{0,x}')::bigint + 400000000))";
    for renews in [false, true] {
        let namespace = fresh();
        let client = backend.connect(backend.url(), &namespace).await?;
        let (store, job) = (client.store(), name("job"));
        granted(store.enter(&job, &entering(LeaseId::new(), SHORT)).await?);
        let waiter = entering(LeaseId::new(), LONG);
        queued(store.enter(&job, &waiter).await?);
        let blocker = locked(&backend, &namespace, extend, true).await?;
        // Let the entry ahead expire by the clock.
        sleep(SHORT).await;
        if renews {
            let mut renewed = store.renew(&[entry_renewal("job", waiter.lease, LONG)]).await?;
            assert_eq!(waits(renewed.remove(0)).1, 1);
        } else {
            assert_eq!(queued(store.enter(&job, &waiter).await?).ahead, 1);
        }
        blocker.join().await?;
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn a_refused_attempt_to_enter_writes_nothing(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let (store, job) = (client.store(), name("job"));
    granted(store.enter(&job, &entering(LeaseId::new(), LONG)).await?);
    // The calls do not wait for the session that has locked the row either.
    let mut transaction = backend.admin().begin().await?;
    let lock = format!("SELECT FROM {namespace}_locks FOR UPDATE");
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
    let attempt = entering(LeaseId::new(), LONG).without_waiting();
    let refused = store.enter(&job, &attempt).await?;
    assert!(matches!(refused, AcquireOutcome::Held(_)), "{refused:?}");
    let mut other = entering(LeaseId::new(), LONG);
    other.kind = LockKind::ReaderWriter;
    conflict(store.enter(&job, &other).await);
    conflict(client.acquire(&job, LeaseId::new(), LONG).await);
    transaction.rollback().await?;
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn queues_work_in_stricter_isolation_levels(backend: Arc<Postgres>) -> CaseResult {
    for level in ["repeatable%5C%20read", "serializable"] {
        let namespace = fresh();
        backend.connect(backend.url(), &namespace).await?;
        let option = format!("options=-c%20default_transaction_isolation%3D{level}");
        let client = backend.connect(&backend.url_with(&option), &namespace).await?;
        race((0..4).map(|_| {
            let (store, lease) = (Arc::clone(client.store()), LeaseId::new());
            async move {
                store.enter(&name("job"), &entering(lease, LONG)).await?;
                let renewed = store.renew(&[entry_renewal("job", lease, LONG)]).await?;
                assert!(!matches!(renewed[..], [RenewOutcome::Lost]), "{renewed:?}");
                assert_eq!(store.leave(&name("job"), lease).await?, ReleaseOutcome::Released);
                Ok(())
            }
        }))
        .await?;
        let lease = LeaseId::new();
        let grant = granted(client.store().enter(&name("job"), &entering(lease, LONG)).await?);
        let mut renewed = client.store().renew(&[entry_renewal("job", lease, LONG)]).await?;
        assert_eq!(holds(renewed.remove(0)).1, grant.token);
        backend.clean(&namespace).await?;
    }
    Ok(())
}

pub(super) async fn a_hint_names_the_entries_that_hold_the_lock_after_one_has_left(
    backend: Arc<Postgres>,
) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    let (store, job) = (client.store(), name("jöb\n🚧"));
    let [first, second, third] = [LeaseId::new(), LeaseId::new(), LeaseId::new()];
    for lease in [first, second, third] {
        store.enter(&job, &entering(lease, LONG)).await?;
    }
    let mut hints = client.watch().await?;
    for (leaves, hint) in [
        (first, Hint::Entries(job.clone(), vec![second])),
        (second, Hint::Entries(job.clone(), vec![third])),
        (third, Hint::Name(job.clone())),
    ] {
        assert_eq!(store.leave(&job, leaves).await?, ReleaseOutcome::Released);
        assert_eq!(store.leave(&job, leaves).await?, ReleaseOutcome::NotHeld);
        let next = timeout(Duration::from_secs(30), hints.next()).await.expect("it is hinted");
        assert_eq!(next, Some(hint));
    }
    backend.clean(&namespace).await?;
    Ok(())
}
