//! These tests cover the renewals of a lease whose replies are late, fail or are overtaken.

use std::sync::Arc;

use super::*;
use crate::{LockStore, MemoryStore, Settings};

const TTL: Duration = Duration::from_secs(15);

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_millis(millis))
}

/// Returns a lease whose renewals are due every 3 s and retried every 1.5 s.
fn lease() -> LeaseSchedule {
    let timing = Settings::new().resolve(&MemoryStore::new().capabilities()).unwrap();
    LeaseSchedule::granted(Arc::new(timing), at(0), TTL)
}

#[test]
fn failure_of_an_older_renewal_does_not_affect_its_retry() {
    let mut plan = RenewalPlan::until_retries_fail(lease(), at(0));
    let retry = plan.retry(at(4_500)).unwrap();
    assert_eq!((retry.earliest, retry.latest), (at(4_500), at(4_500)));
    assert_eq!(plan.record_failure(at(3_000), at(4_600), true), AfterFailure::Wait);
    assert_eq!(plan.window(), retry);
    assert!(matches!(plan.record_failure(at(4_500), at(4_700), false), AfterFailure::Renew(_)));
}

#[test]
fn a_late_success_counts_while_its_retry_is_in_flight() {
    let mut plan = RenewalPlan::until_retries_fail(lease(), at(0));
    let retry = plan.retry(at(4_500)).unwrap();
    assert_eq!(plan.record_extension(at(3_000), TTL, at(4_600), true), None);
    assert_eq!(plan.schedule().deadline(), at(3_000 + 15_000 - 750));
    assert_eq!(plan.window(), retry, "its retry was sent and is the next heartbeat");
    assert!(plan.record_extension(at(4_500), TTL, at(6_100), false).is_some());
    assert_eq!(plan.schedule().deadline(), at(4_500 + 15_000 - 750));
}

/// Otherwise a term would survive only outages shorter than the settings promise.
#[test]
fn a_retry_failing_after_a_late_success_is_not_counted() {
    let mut plan = RenewalPlan::until_retries_fail(lease(), at(0));
    plan.retry(at(4_500)).unwrap();
    assert_eq!(plan.record_extension(at(3_000), TTL, at(4_600), true), None);
    let AfterFailure::Renew(window) = plan.record_failure(at(4_500), at(4_700), false) else {
        panic!()
    };
    assert_eq!(window.latest, at(6_000));
    for due in [7_500, 9_000, 10_500] {
        let failed = plan.window().latest;
        let AfterFailure::Renew(window) = plan.record_failure(failed, failed, false) else {
            panic!()
        };
        assert_eq!(window.latest, at(due));
    }
    assert_eq!(plan.record_failure(at(10_500), at(10_500), false), AfterFailure::GiveUp);
}

#[test]
fn a_term_ends_when_the_last_retry_fails_and_none_is_in_flight() {
    let mut plan = RenewalPlan::until_retries_fail(lease(), at(0));
    for millis in [4_500, 6_000, 7_500] {
        assert!(plan.retry(at(millis)).is_some());
    }
    assert_eq!(plan.retry(at(9_000)), None);
    assert_eq!(plan.window().retry_at, plan.schedule().step_down_at());
    assert_eq!(plan.record_failure(at(7_500), at(9_100), true), AfterFailure::Wait);
    assert_eq!(plan.record_failure(at(3_000), at(9_200), false), AfterFailure::GiveUp);
}

/// Otherwise nothing would be sent, and no disable noticed, until shortly before the lease
/// expires.
#[test]
fn a_late_success_after_the_last_retry_resumes_heartbeats() {
    let mut plan = RenewalPlan::until_retries_fail(lease(), at(0));
    for millis in [4_500, 6_000, 7_500] {
        assert!(plan.retry(at(millis)).is_some());
    }
    assert_eq!(plan.retry(at(9_000)), None);
    assert_eq!(plan.record_extension(at(3_000), TTL, at(9_100), true), None);
    assert_eq!(plan.window().retry_at, at(9_100));
    assert!(plan.retry(at(9_100)).is_some());
}

#[test]
fn an_older_reply_does_not_delay_a_hinted_renewal() {
    let mut plan = RenewalPlan::until_retries_fail(lease(), at(0));
    let hinted = plan.renew_now(at(3_100)).unwrap();
    assert_eq!(hinted.latest, at(3_100));
    let next = plan.record_extension(at(3_000), TTL, at(3_101), false).unwrap();
    assert_eq!(next.latest, at(3_101));
    let next = plan.record_extension(at(3_101), TTL, at(3_102), false).unwrap();
    assert_eq!(next.latest, at(6_101));
}

#[test]
fn a_guards_renewal_is_retried_until_its_trust_deadline() {
    let mut plan = RenewalPlan::until_expiry(lease(), at(0));
    for millis in [4_500, 6_000, 7_500, 9_000, 10_500, 12_000] {
        assert!(plan.retry(at(millis)).is_some());
    }
}

/// The next heartbeat was due at 6 s. Failures used to follow each other without a pause until
/// the schedule had caught up.
#[test]
fn retries_keep_their_interval_after_a_late_reply() {
    let mut plan = RenewalPlan::until_expiry(lease(), at(0));
    let mut window = plan.record_extension(at(3_000), TTL, at(12_000), false).unwrap();
    for retry in 0..3 {
        let at_once = window.latest + Duration::from_millis(1);
        assert_eq!(window.latest, at(12_000 + retry * 1_500));
        let AfterFailure::Renew(next) = plan.record_failure(window.latest, at_once, false) else {
            panic!()
        };
        window = next;
    }
}

#[test]
fn hints_are_ignored_until_a_renewal_has_a_reply() {
    let mut plan = RenewalPlan::until_expiry(lease(), at(0));
    assert!(plan.renew_now(at(500)).is_some());
    assert_eq!(plan.renew_now(at(501)), None);
    assert!(matches!(plan.record_failure(at(500), at(502), false), AfterFailure::Renew(_)));
    assert_eq!(plan.renew_now(at(503)), None);
    assert!(plan.record_extension(at(4_500), TTL, at(4_501), false).is_some());
    assert!(plan.renew_now(at(4_502)).is_some());
}
