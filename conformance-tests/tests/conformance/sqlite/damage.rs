//! These cases cover rows that Leasehold did not write.

use std::time::Duration;

use leasehold::{
    ErrorKind, LeaseId, ListOptions, LockState, LockStore, PruneOptions, RenewOptions, RenewOutcome,
};
use leasehold_conformance::CaseResult;
use sqlx::AssertSqlSafe;

use super::support::{TTL, asking, disabling, grant, name, open, place, sql};

/// After each of these assignments, the row is not one that Leasehold wrote.
const DAMAGE: &[&str] = &[
    "token = -1",
    "token = 9007199254740992",
    "token = 0",
    "lease = 'no uuid'",
    "lease = NULL",
    "holder = '{'",
    "holder = '{\"instance\": 7}'",
    "holder = NULL",
    "boot = NULL",
    "expires_at = NULL",
    "expires_at = 9223372036854775807",
    "granted_at = NULL",
    "granted_at = -5",
    "ending = ''",
    "disabled_reason = ''",
    "disabled_reason = NULL",
    "disabled_at = NULL",
    "disabled_at = -1",
    "disabled_by = CAST(x'ff' AS TEXT)",
    "name = ''",
    "name = CAST(x'ff' AS TEXT)",
    "name = printf('%300c', 'x')",
];

pub(super) async fn a_corrupt_row_is_reported_by_every_read() -> CaseResult {
    for damage in DAMAGE {
        let (_folder, path) = place();
        let store = open(&path).await;
        grant(&store, "a", LeaseId::new()).await;
        store.disable(&name("a"), &disabling("x")).await.unwrap();
        let statement = format!("UPDATE leasehold_locks SET {damage}");
        sqlx::query(AssertSqlSafe(statement)).execute(store.pool()).await.unwrap();

        // The damaged row hides no other name, and is not changed.
        let other = LeaseId::new();
        grant(&store, "b", other).await;
        store.release(&name("b"), other).await.unwrap();
        for limit in [1, 500] {
            let page = ListOptions::default().with_limit(limit);
            let page = store.list(&page).await.expect(damage);
            let sound = page.iter().filter(|record| record.corrupt.is_none());
            assert_eq!(sound.count(), page.len() - usize::from(!damage.starts_with("name")));
            if limit > 1 {
                assert_eq!(page.last().map(|record| &record.name), Some(&name("b")), "{damage}");
            }
        }
        let all = PruneOptions::default().with_unused_for(Duration::ZERO).with_dry_run(false);
        assert_eq!(store.prune(&all).await.unwrap(), [name("b")], "{damage}");
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM leasehold_locks")
            .fetch_one(store.pool())
            .await
            .unwrap();
        assert_eq!(rows, 1, "{damage}");
        if !damage.starts_with("name") {
            let listed = store.list(&ListOptions::default()).await.unwrap();
            let why = listed[0].corrupt.as_deref().expect(damage);
            assert!(why.contains("leasehold_locks"), "{damage}: {why}");
            let record = store.get(&name("a")).await.unwrap().expect(damage);
            assert_eq!(record.state(), LockState::Corrupt, "{damage}");
            let why = record.corrupt.expect(damage);
            assert!(why.contains("leasehold_locks"), "{damage}: {why}");
            let others = ListOptions::default().with_prefix("B");
            assert_eq!(store.list(&others).await.unwrap(), [], "{damage}");
        }
    }
    Ok(())
}

/// It is unknown whether such a lease was extended, which is different from lost.
pub(super) async fn a_corrupt_row_makes_only_its_own_renewal_unknown() -> CaseResult {
    for damage in ["boot = NULL", "expires_at = NULL", "ending = ''"] {
        let (_folder, path) = place();
        let store = open(&path).await;
        let leases = ["a", "b", "c"].map(|lock| (lock, LeaseId::new()));
        for (lock, lease) in leases {
            grant(&store, lock, lease).await;
        }
        store.release(&name("c"), leases[2].1).await.unwrap();
        let statement = format!("UPDATE leasehold_locks SET {damage} WHERE name = 'a'");
        sqlx::query(AssertSqlSafe(statement)).execute(store.pool()).await.unwrap();
        let batch = leases.map(|(lock, lease)| RenewOptions::new(name(lock), lease, TTL));
        let outcomes = store.renew(&batch).await.unwrap();
        let [RenewOutcome::Unknown { why, .. }, RenewOutcome::Extended { .. }, RenewOutcome::Lost] =
            &outcomes[..]
        else {
            panic!("{damage}: {outcomes:?}");
        };
        assert!(why.contains("leasehold_locks"), "{damage}: {why}");
    }
    Ok(())
}

/// The holder must stop, and is told so as long as the row says when.
pub(super) async fn a_lease_that_is_told_to_end_is_disabled_in_a_row_that_is_otherwise_corrupt()
-> CaseResult {
    for (damage, is_told) in [
        ("token = 0", true),
        ("holder = '{'", true),
        ("holder = NULL", true),
        ("granted_at = NULL", true),
        ("disabled_reason = ''", true),
        ("disabled_at = NULL", true),
        ("ending = ''", false),
        ("boot = NULL", false),
        ("expires_at = NULL", false),
        ("expires_at = 9223372036854775807", false),
        ("expires_at = 0, holder = '{'", false),
    ] {
        let (_folder, path) = place();
        let store = open(&path).await;
        let leases = ["a", "b"].map(|lock| (lock, LeaseId::new()));
        for (lock, lease) in leases {
            grant(&store, lock, lease).await;
        }
        store.disable(&name("a"), &disabling("upkeep")).await.unwrap();
        let statement = format!("UPDATE leasehold_locks SET {damage} WHERE name = 'a'");
        sqlx::query(AssertSqlSafe(statement)).execute(store.pool()).await.unwrap();
        let batch = leases.map(|(lock, lease)| RenewOptions::new(name(lock), lease, TTL));
        let outcomes = store.renew(&batch).await.unwrap();
        match &outcomes[..] {
            [RenewOutcome::Disabled { reason, left, .. }, RenewOutcome::Extended { .. }]
                if is_told =>
            {
                assert_eq!(reason.as_str(), "upkeep", "{damage}");
                assert!(*left <= TTL && !left.is_zero(), "{damage}: {left:?}");
            }
            [RenewOutcome::Unknown { .. }, RenewOutcome::Extended { .. }] if !is_told => {}
            _ => panic!("{damage}: {outcomes:?}"),
        }
    }
    Ok(())
}

pub(super) async fn a_corrupt_lease_is_not_overwritten() -> CaseResult {
    for damage in ["boot = NULL", "expires_at = NULL", "expires_at = 9223372036854775807"] {
        let (_folder, path) = place();
        let store = open(&path).await;
        grant(&store, "a", LeaseId::new()).await;
        let statement = format!("UPDATE leasehold_locks SET {damage}");
        sqlx::query(AssertSqlSafe(statement)).execute(store.pool()).await.unwrap();
        let error = store.acquire(&name("a"), &asking(LeaseId::new())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}: {error}");
    }
    Ok(())
}

pub(super) async fn a_token_at_its_limit_is_an_error() -> CaseResult {
    let (_folder, path) = place();
    let store = open(&path).await;
    for tokens in [
        "INSERT INTO leasehold_locks (name, token, signal) VALUES ('a', 9007199254740991, 0)",
        "UPDATE leasehold_locks SET token = 9223372036854775807",
        "UPDATE leasehold_locks SET token = -9223372036854775807",
    ] {
        sql(&store, tokens).await;
        let outcome = store.acquire(&name("a"), &asking(LeaseId::new())).await;
        if tokens.contains("= -") {
            // Then only the clock decides.
            assert!(outcome.is_ok(), "{outcome:?}");
        } else {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            let held: i64 =
                sqlx::query_scalar("SELECT count(*) FROM leasehold_locks WHERE lease IS NOT NULL")
                    .fetch_one(store.pool())
                    .await
                    .unwrap();
            assert_eq!(held, 0);
        }
    }
    Ok(())
}
