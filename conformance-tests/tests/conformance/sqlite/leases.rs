//! These cases cover leases across boots and clocks, tokens, and batches.

use std::time::{Duration, Instant, SystemTime};

use leasehold::{
    AcquireOutcome, LeaseId, ListOptions, LockStore, PruneOptions, RenewOptions, RenewOutcome,
};
use leasehold_conformance::{CaseResult, Failure};
use sqlx::Row;

use super::support::{TTL, asking, disabling, grant, name, open, place, sql};

/// A holder in a container with its own boot id writes such a row: the machine's clock is the same.
pub(super) async fn a_lease_of_another_boot_id_is_in_force_for_its_ttl() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    let lease = LeaseId::new();
    let first = grant(&store, "a", lease).await;
    sql(&store, "UPDATE leasehold_locks SET boot = 'another'").await;
    let outcome = store.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap();
    assert!(
        matches!(&outcome, AcquireOutcome::Held(held)
            if held.token == first.token && held.left <= TTL),
        "{outcome:?}"
    );
    assert!(store.get(&name("a")).await.unwrap().unwrap().lease.is_some());
    assert_eq!(store.prune(&all()).await.unwrap(), []);
    sql(&store, "UPDATE leasehold_locks SET expires_at = expires_at - 30000000").await;
    assert!(store.get(&name("a")).await.unwrap().unwrap().lease.is_none());
    let renewal = RenewOptions::new(name("a"), lease, TTL);
    assert_eq!(store.renew(&[renewal]).await.unwrap(), [RenewOutcome::Lost]);
    assert!(grant(&store, "a", LeaseId::new()).await.token > first.token);
    Ok(())
}

/// The machine finds such a row after a reboot: it had been up for longer before.
pub(super) async fn a_lease_of_an_earlier_boot_has_expired() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    for _ in 0..2 {
        let lease = LeaseId::new();
        let first = grant(&store, "a", lease).await;
        sql(
            &store,
            "UPDATE leasehold_locks SET boot = 'another', set_at = set_at + 9000000,
                 expires_at = expires_at + 9000000",
        )
        .await;
        assert!(store.get(&name("a")).await.unwrap().unwrap().lease.is_none());
        let renewal = RenewOptions::new(name("a"), lease, TTL);
        assert_eq!(store.renew(&[renewal]).await.unwrap(), [RenewOutcome::Lost]);
        let second = LeaseId::new();
        assert!(grant(&store, "a", second).await.token > first.token);
        store.release(&name("a"), second).await.unwrap();
    }
    Ok(())
}

pub(super) async fn a_renewed_lease_of_another_boot_id_is_in_force() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    let lease = LeaseId::new();
    grant(&store, "a", lease).await;
    let renewal = RenewOptions::new(name("a"), lease, TTL * 10);
    store.renew(&[renewal]).await.unwrap();
    sql(&store, "UPDATE leasehold_locks SET boot = 'another'").await;
    let outcome = store.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Held(_)), "{outcome:?}");
    Ok(())
}

/// Selects all names that are unused now.
fn all() -> PruneOptions {
    PruneOptions::default().with_unused_for(Duration::ZERO).with_limit(100).with_dry_run(false)
}

pub(super) async fn a_name_whose_token_is_ahead_of_the_clock_is_not_pruned() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    for lock in ["a", "b"] {
        let lease = LeaseId::new();
        grant(&store, lock, lease).await;
        store.release(&name(lock), lease).await.unwrap();
    }
    // This simulates that the clock was set back since: the next token would be smaller.
    sql(&store, "UPDATE leasehold_locks SET token = token + 60000000 WHERE name = 'a'").await;
    assert_eq!(store.prune(&all()).await.unwrap(), [name("b")]);
    assert!(store.get(&name("a")).await.unwrap().is_some());
    Ok(())
}

pub(super) async fn tokens_grow_after_row_deletion_and_clock_set_back() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    let first = grant(&store, "a", LeaseId::new()).await;
    sql(&store, "DELETE FROM leasehold_locks").await;
    let lease = LeaseId::new();
    let second = grant(&store, "a", lease).await;
    assert!(second.token > first.token);
    // The calendar clock seems to have been a century ahead at that grant.
    sql(&store, "UPDATE leasehold_locks SET token = token + 3155760000000000").await;
    store.release(&name("a"), lease).await.unwrap();
    let third = grant(&store, "a", LeaseId::new()).await;
    assert_eq!(third.token.get(), second.token.get() + 3_155_760_000_000_000 + 1);
    Ok(())
}

pub(super) async fn waiting_for_the_write_lock_revives_no_lease() -> CaseResult {
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
    let mut options = asking(lease);
    options.ttl = Duration::from_millis(200);
    one.acquire(&name("a"), &options).await.unwrap();
    let blocker = one.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let renewal =
        tokio::spawn(async move { two.renew(&[RenewOptions::new(name("a"), lease, TTL)]).await });
    tokio::time::sleep(Duration::from_millis(400)).await;
    blocker.rollback().await.unwrap();
    renewal.await.unwrap()
}

/// In the meantime another client could have been granted the name, and its row be pruned.
pub(super) async fn a_first_token_is_later_than_the_wait_for_the_write_lock() -> CaseResult {
    for has_row in [false, true] {
        check_first_token_after_a_wait(has_row).await?;
    }
    Ok(())
}

async fn check_first_token_after_a_wait(has_row: bool) -> CaseResult {
    let mut granted = None;
    for _ in 0..10 {
        match acquired_after_a_wait(has_row).await {
            Ok(tokens) => {
                granted = Some(tokens);
                break;
            }
            // On a busy machine the wait was too long.
            Err(error) => assert!(error.is_unavailable(), "{error}"),
        }
    }
    let Some((outcome, waited_until)) = granted else {
        return Err(Failure::new("no acquire waits for the lock to its end"));
    };
    assert!(
        matches!(&outcome, AcquireOutcome::Granted(grant) if grant.token.get() >= waited_until),
        "{outcome:?} {waited_until}"
    );
    Ok(())
}

/// Returns the outcome, and the time in microseconds until which the acquire waited.
async fn acquired_after_a_wait(has_row: bool) -> leasehold::Result<(AcquireOutcome, u64)> {
    let (_folder, path) = place();
    let (one, two) = (open(&path).await, open(&path).await);
    if has_row {
        // A name can be disabled before its first grant.
        one.disable(&name("a"), &disabling("x")).await.unwrap();
        one.enable(&name("a")).await.unwrap();
    }
    let blocker = one.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let acquire =
        tokio::spawn(async move { two.acquire(&name("a"), &asking(LeaseId::new())).await });
    tokio::time::sleep(Duration::from_millis(400)).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    blocker.rollback().await.unwrap();
    Ok((acquire.await.unwrap()?, u64::try_from(now.as_micros()).unwrap()))
}

/// A retry on another connection can get the write lock before the renewal that it repeats.
pub(super) async fn an_earlier_renewal_takes_back_no_later_one() -> CaseResult {
    for _ in 0..10 {
        match renewed_twice_after_a_wait().await {
            Ok((left, since_free)) => {
                assert!(left + since_free >= TTL, "{left:?} {since_free:?}");
                return Ok(());
            }
            // On a busy machine the wait was too long.
            Err(error) => assert!(error.is_unavailable(), "{error}"),
        }
    }
    Err(Failure::new("no two renewals wait for the lock to its end"))
}

/// Returns what is left of the lease after both renewals, and how long ago the lock became free.
async fn renewed_twice_after_a_wait() -> leasehold::Result<(Duration, Duration)> {
    let (_folder, path) = place();
    let (one, two) = (open(&path).await, open(&path).await);
    let lease = LeaseId::new();
    grant(&one, "a", lease).await;
    let blocker = one.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let renewals = [two.clone(), two.clone()].map(move |store| {
        tokio::spawn(async move { store.renew(&[RenewOptions::new(name("a"), lease, TTL)]).await })
    });
    // The second one stops waiting for the first one in this time, and opens a connection.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let free = Instant::now();
    blocker.rollback().await.unwrap();
    for renewal in renewals {
        assert_eq!(renewal.await.unwrap()?, [RenewOutcome::extended(TTL)]);
    }
    let record = two.get(&name("a")).await?.unwrap();
    Ok((record.lease.unwrap().left, free.elapsed()))
}

pub(super) async fn batch_answers_keep_the_order_of_the_request() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    let unusual = ["a", "A", "a ", "á", "a\u{301}", "\"", "\\", "\u{1}\n", "'; --", "🔒", "%"];
    let mut batch = Vec::new();
    for lock in unusual {
        let lease = LeaseId::new();
        grant(&store, lock, lease).await;
        batch.push(RenewOptions::new(name(lock), lease, TTL * 2));
    }
    store.disable(&name("%"), &disabling("maintenance")).await.unwrap();
    batch.push(RenewOptions::new(name("a"), LeaseId::new(), TTL * 2));
    batch.push(RenewOptions::new(name("none"), batch[0].lease, TTL * 2));
    batch.push(RenewOptions::new(name("A"), batch[1].lease, TTL));
    let outcomes = store.renew(&batch).await.unwrap();
    assert_eq!(outcomes.len(), batch.len());
    for (renewal, outcome) in batch.iter().zip(&outcomes) {
        let ttl = if renewal.name == name("A") { TTL } else { TTL * 2 };
        match renewal.name.as_str() {
            "%" => assert!(
                matches!(outcome, RenewOutcome::Disabled { reason, left, .. }
                    if reason.as_str() == "maintenance" && *left <= TTL),
                "{outcome:?}"
            ),
            "none" => assert_eq!(*outcome, RenewOutcome::Lost),
            "a" if renewal.lease != batch[0].lease => assert_eq!(*outcome, RenewOutcome::Lost),
            _ => assert_eq!(*outcome, RenewOutcome::extended(ttl), "{renewal:?}"),
        }
    }
    let page = ListOptions::default().with_prefix("a");
    let listed: Vec<_> = store.list(&page).await.unwrap().into_iter().map(|r| r.name).collect();
    assert_eq!(listed, ["a", "a ", "a\u{301}"].map(name));
    Ok(())
}

pub(super) async fn a_batch_uses_the_primary_key() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    let plan = sqlx::query(
        "EXPLAIN QUERY PLAN UPDATE leasehold_locks AS l SET expires_at = r.ttl \
         FROM (SELECT value ->> 0 AS name, value ->> 2 AS ttl FROM json_each('[]')) AS r \
         WHERE l.name = r.name AND l.expires_at > 0",
    );
    let plan = plan.fetch_all(store.pool()).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
    assert!(plan.iter().any(|step| step.contains("SEARCH l USING PRIMARY KEY")), "{plan:?}");
    Ok(())
}
