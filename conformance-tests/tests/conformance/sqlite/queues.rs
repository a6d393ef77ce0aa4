//! These cases cover the queues of locks: the clock, damaged rows and hints.

use std::fs;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use leasehold::sqlite::SqliteStore;
use leasehold::{
    AcquireOutcome, ErrorKind, Hint, LeaseId, ListOptions, LockKind, LockRecord, LockState,
    LockStore, ReleaseOutcome, RenewOptions, RenewOutcome,
};
use leasehold_conformance::{CaseResult, Failure};
use sqlx::AssertSqlSafe;
use tokio::time::{sleep, timeout};

use super::support::{
    TTL, asking, disabling, enter, entering, entry_renewal, name, open, place, sql,
};

const SHORT: Duration = Duration::from_millis(200);

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
    "queue = json_set(queue, '$[0].l', 'no uuid')",
    "queue = json_set(queue, '$[0].l', '00000000-0000-0000-0000-000000000000')",
    "queue = json_set(queue, '$[0].l', json_extract(queue, '$[1].l'))",
    "queue = json_set(queue, '$[0].p', json_extract(queue, '$[1].p'))",
    "queue = json_set(queue, '$[0].p', 0)",
    "queue = json_set(queue, '$[0].w', 2)",
    "queue = json_set(queue, '$[0].w', 0)",
    "queue = json_set(queue, '$[0].h', '{')",
    "queue = json_remove(queue, '$[0].h')",
    "queue = json_set(queue, '$[0].t', -1)",
    "queue = json_set(queue, '$[0].x', 9223372036854775807)",
    "queue = json_set(queue, '$[0].e', '')",
];

pub(super) async fn a_corrupt_queue_is_reported_and_concerns_only_its_own_name() -> CaseResult {
    for damage in DAMAGE {
        let (_folder, path) = place();
        let store = open(&path).await;
        let [first, second, other] = [LeaseId::new(), LeaseId::new(), LeaseId::new()];
        for (lock, lease) in [("a", first), ("a", second), ("b", other)] {
            enter(&store, lock, lease).await;
        }
        let statement = format!("UPDATE leasehold_locks SET {damage} WHERE name = 'a'");
        sqlx::query(AssertSqlSafe(statement)).execute(store.pool()).await.unwrap();

        let renewals = [entry_renewal("a", first), entry_renewal("b", other)];
        let outcomes = store.renew(&renewals).await.unwrap();
        let [RenewOutcome::Unknown { why, .. }, RenewOutcome::Extended { .. }] = &outcomes[..]
        else {
            panic!("{damage}: {outcomes:?}");
        };
        assert!(why.contains("leasehold_locks"), "{damage}: {why}");
        let attempt = entering(LeaseId::new());
        for error in [
            store.enter(&name("a"), &attempt).await.expect_err(damage),
            store.leave(&name("a"), first).await.expect_err(damage),
            store.acquire(&name("a"), &asking(LeaseId::new())).await.expect_err(damage),
        ] {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}: {error}");
        }
        let record = store.get(&name("a")).await.unwrap().expect(damage);
        assert_eq!(record.state(), LockState::Corrupt, "{damage}");
        let listed = store.list(&ListOptions::default()).await.unwrap();
        let states: Vec<_> = listed.iter().map(LockRecord::state).collect();
        assert_eq!(states, [LockState::Corrupt, LockState::Held], "{damage}");
    }
    Ok(())
}

/// An exclusive lock does not clear what an earlier queue left in the row.
pub(super) async fn an_earlier_queue_of_the_row_has_no_effect() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    let (entry, lease) = (LeaseId::new(), LeaseId::new());
    enter(&store, "a", entry).await;
    sql(&store, "UPDATE leasehold_locks SET expires_at = expires_at - 30000000").await;
    let granted = store.acquire(&name("a"), &asking(lease)).await.unwrap();
    assert!(matches!(granted, AcquireOutcome::Granted(_)), "{granted:?}");
    sql(&store, "UPDATE leasehold_locks SET queue = 'damaged'").await;
    let record = store.get(&name("a")).await.unwrap().unwrap();
    assert_eq!((record.kind, record.queue), (LockKind::Exclusive, None));
    assert_eq!(store.renew(&[entry_renewal("a", entry)]).await.unwrap(), [RenewOutcome::Lost]);
    assert_eq!(store.leave(&name("a"), entry).await.unwrap(), ReleaseOutcome::NotHeld);
    let refused = store.enter(&name("a"), &entering(entry)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    let renewal = RenewOptions::new(name("a"), lease, TTL);
    assert_eq!(store.renew(&[renewal]).await.unwrap(), [RenewOutcome::extended(TTL)]);
    store.release(&name("a"), lease).await.unwrap();
    assert!(matches!(enter(&store, "a", entry).await, AcquireOutcome::Granted(_)));
    Ok(())
}

pub(super) async fn entries_of_another_boot_id_are_live_and_of_an_earlier_boot_are_not()
-> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    let [first, second, third] = [LeaseId::new(), LeaseId::new(), LeaseId::new()];
    enter(&store, "a", first).await;
    enter(&store, "a", second).await;
    // A container may have a boot id of its own, and the same clock.
    sql(&store, "UPDATE leasehold_locks SET boot = 'another'").await;
    let renewed = store.renew(&[entry_renewal("a", second)]).await.unwrap();
    assert!(matches!(renewed[..], [RenewOutcome::Queued { ahead: 1, .. }]), "{renewed:?}");
    sql(&store, "UPDATE leasehold_locks SET boot = 'another'").await;
    let third = enter(&store, "a", third).await;
    let AcquireOutcome::Queued(queued) = third else { panic!("{third:?}") };
    assert_eq!(queued.ahead, 2);

    // The machine finds such a row after a reboot: it had been up for longer before.
    sql(
        &store,
        "UPDATE leasehold_locks SET boot = 'another', set_at = set_at + 9000000,
             expires_at = expires_at + 9000000",
    )
    .await;
    assert_eq!(store.get(&name("a")).await.unwrap().unwrap().queue, None);
    assert_eq!(store.renew(&[entry_renewal("a", first)]).await.unwrap(), [RenewOutcome::Lost]);
    let fourth = enter(&store, "a", LeaseId::new()).await;
    let AcquireOutcome::Granted(grant) = fourth else { panic!("{fourth:?}") };
    assert!(grant.token > queued.token);
    Ok(())
}

pub(super) async fn waiting_for_the_write_lock_revives_no_entry() -> CaseResult {
    for _ in 0..10 {
        match renewed_after_a_wait().await {
            Ok(outcomes) => {
                assert_eq!(outcomes, [RenewOutcome::Lost]);
                return Ok(());
            }
            // On a busy machine the wait was too long.
            Err(error) => assert!(error.is_unavailable(), "{error}"),
        }
    }
    Err(Failure::new("no renewal waits for the lock to its end"))
}

async fn renewed_after_a_wait() -> leasehold::Result<Vec<RenewOutcome>> {
    let (_folder, path) = place();
    let (one, two) = (open(&path).await, open(&path).await);
    let lease = LeaseId::new();
    enter_for(&one, lease, SHORT).await?;
    let blocker = one.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let renewal = tokio::spawn(async move { two.renew(&[entry_renewal("a", lease)]).await });
    sleep(SHORT * 2).await;
    blocker.rollback().await.unwrap();
    renewal.await.unwrap()
}

/// The clock is read after the wait: it decides which entries are live, and the token follows it.
pub(super) async fn an_entry_that_expires_while_another_waits_for_the_write_lock_holds_nobody_up()
-> CaseResult {
    for _ in 0..10 {
        match entered_after_a_wait().await {
            Ok((outcome, waited_until)) => {
                assert!(
                    matches!(&outcome, AcquireOutcome::Granted(grant)
                        if grant.token.get() >= waited_until),
                    "{outcome:?} {waited_until}"
                );
                return Ok(());
            }
            // On a busy machine the wait was too long.
            Err(error) => assert!(error.is_unavailable(), "{error}"),
        }
    }
    Err(Failure::new("no attempt waits for the lock to its end"))
}

/// Returns the outcome, and the time in microseconds until which the attempt waited.
async fn entered_after_a_wait() -> leasehold::Result<(AcquireOutcome, u64)> {
    let (_folder, path) = place();
    let (one, two) = (open(&path).await, open(&path).await);
    enter_for(&one, LeaseId::new(), SHORT).await?;
    let blocker = one.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let attempt =
        tokio::spawn(async move { two.enter(&name("a"), &entering(LeaseId::new())).await });
    sleep(SHORT * 2).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    blocker.rollback().await.unwrap();
    Ok((attempt.await.unwrap()?, u64::try_from(now.as_micros()).unwrap()))
}

async fn enter_for(
    store: &SqliteStore,
    lease: LeaseId,
    ttl: Duration,
) -> leasehold::Result<AcquireOutcome> {
    let mut options = entering(lease);
    options.ttl = ttl;
    store.enter(&name("a"), &options).await
}

pub(super) async fn a_hint_names_the_entries_that_hold_the_lock_after_one_has_left() -> CaseResult {
    let (_folder, path) = place();
    let (one, two) = (open(&path).await, open(&path).await);
    let [first, second, third] = [LeaseId::new(), LeaseId::new(), LeaseId::new()];
    for lease in [first, second, third] {
        enter(&one, "a", lease).await;
    }
    let mut hints = two.watch().await.unwrap();
    // These concern no waiter.
    one.renew(&[entry_renewal("a", first), entry_renewal("a", second)]).await.unwrap();
    assert_eq!(one.leave(&name("a"), third).await.unwrap(), ReleaseOutcome::Released);
    assert_eq!(one.leave(&name("a"), third).await.unwrap(), ReleaseOutcome::NotHeld);
    assert!(timeout(Duration::from_millis(300), hints.next()).await.is_err());
    let by_name = Hint::Name(name("a"));
    for (step, expected) in [
        ("first leaves", Hint::Entries(name("a"), vec![second])),
        ("disable", by_name.clone()),
        ("enable", by_name.clone()),
        ("second leaves", by_name),
    ] {
        match step {
            "disable" => drop(one.disable(&name("a"), &disabling("x")).await.unwrap()),
            "enable" => drop(one.enable(&name("a")).await.unwrap()),
            "first leaves" => drop(one.leave(&name("a"), first).await.unwrap()),
            _ => drop(one.leave(&name("a"), second).await.unwrap()),
        }
        let hint = timeout(Duration::from_secs(30), hints.next()).await.expect(step);
        assert_eq!(hint, Some(expected), "{step}");
    }
    Ok(())
}

/// Other processes are notified when the times of the file are set.
pub(super) async fn entering_and_renewing_entries_wakes_no_watch() -> CaseResult {
    if !cfg!(target_os = "linux") {
        return Err(Failure::ignored("this system does not notify of files"));
    }
    let (_folder, path) = place();
    let store = open(&path).await;
    let [first, second, third] = [LeaseId::new(), LeaseId::new(), LeaseId::new()];
    for step in
        ["enter first", "enter second", "enter third", "renew", "leave third", "leave first"]
    {
        let before = fs::metadata(&path)?.modified()?;
        // The times of a file system are coarse.
        sleep(Duration::from_millis(50)).await;
        match step {
            "enter first" => drop(enter(&store, "a", first).await),
            "enter second" => drop(enter(&store, "a", second).await),
            "enter third" => drop(enter(&store, "a", third).await),
            "renew" => drop(store.renew(&[entry_renewal("a", second)]).await?),
            "leave third" => drop(store.leave(&name("a"), third).await?),
            _ => drop(store.leave(&name("a"), first).await?),
        }
        let is_set = fs::metadata(&path)?.modified()? != before;
        assert_eq!(is_set, step == "leave first", "{step}");
    }
    Ok(())
}
