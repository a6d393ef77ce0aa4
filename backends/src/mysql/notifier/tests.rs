//! This test covers which holders' waiters are notified of a release.

use tokio::sync::watch;

use super::super::url::from_url;
use super::*;

#[tokio::test]
async fn a_release_of_a_lease_whose_grant_had_no_reply_notifies_the_waiters() {
    let options = from_url("mysql://app@db/app").unwrap();
    let pool = crate::sql::pool::application_pool::<sqlx::MySql>(&options, None);
    let close_all = watch::Sender::new(()).subscribe();
    let notifier = Notifier::new(UserLockNames::new(&pool, "app", "leasehold_locks", close_all));
    let holder = Uuid::from_u128(1);
    notifier.0.state().holders.insert(holder, Instant::now());
    notifier.remove(LeaseId::new(), false);
    assert!(!notifier.0.has_notifications(), "it was not held");
    notifier.remove(LeaseId::new(), true);
    assert_eq!(notifier.0.take_notifications(), HashSet::from([holder]));
}
