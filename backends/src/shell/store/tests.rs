use super::super::scripted::Scripted;
use super::super::{Decision, Entry, Found};
use super::*;
use crate::{
    AcquireOptions, Disablement, EntryRecord, Error, ErrorKind, FencingToken, Grant, Holder,
    LeaseId, LeaseRecord, LockKind, Reason,
};

const SECOND: Duration = Duration::from_secs(1);

fn name(name: &str) -> LockName {
    LockName::new(name).unwrap()
}

fn attempt() -> AcquireOptions {
    AcquireOptions::new(LeaseId::new(), Holder::current(), 20 * SECOND)
}

fn token(token: u64) -> FencingToken {
    FencingToken::new(token).unwrap()
}

fn held(by: LeaseId) -> LockRecord {
    let holder = Holder::current();
    let lease = LeaseRecord::new(by, holder, SECOND).with_held_for(SECOND);
    LockRecord::unused(name("a")).with_token(token(7)).with_lease(lease)
}

fn failure(kind: ErrorKind) -> Error {
    Error::new(kind, "it failed")
}

fn store() -> Store<Scripted> {
    Store::new(Scripted::default())
}

fn calls(store: &Store<Scripted>) -> Vec<String> {
    std::mem::take(&mut *store.backend().calls.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_repeated_if_the_reason_for_its_failure_no_longer_exists() {
    let (store, attempt) = (store(), attempt());
    let acquired = &store.backend().acquired;
    acquired.push(Ok(Decision::Changed));
    acquired.push(Ok(Decision::Refused(LockRecord::unused(name("a")))));
    acquired.push(Ok(Decision::Done(Grant::new(token(9), SECOND))));
    let outcome = store.acquire(&name("a"), &attempt).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Granted(grant) if grant.token == token(9)));
    assert_eq!(calls(&store), ["acquire 1", "acquire 2", "acquire 3"]);
    acquired.push(Ok(Decision::Refused(held(LeaseId::new()))));
    let outcome = store.acquire(&name("a"), &attempt).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Held(_)), "{outcome:?}");
    // The attempt was granted earlier, and its reply was lost.
    acquired.push(Ok(Decision::Refused(held(attempt.lease))));
    let outcome = store.acquire(&name("a"), &attempt).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Granted(grant) if grant.token == token(7)));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_to_enter_is_repeated_while_nothing_prevents_it() {
    let store = store();
    let attempt = EnterOptions::new(LeaseId::new(), Holder::current(), SECOND, LockKind::Fair);
    let entered = &store.backend().entered;
    let unused = LockRecord::unused(name("a"));
    let entry = EntryRecord::new(attempt.lease, attempt.holder.clone(), token(9), SECOND);
    entered.push(Ok(None));
    entered.push(Ok(Some(unused.clone())));
    entered.push(Ok(Some(unused.with_queue(LockKind::Fair, vec![entry]))));
    let outcome = store.enter(&name("a"), &attempt).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Granted(grant) if grant.token == token(9)));
    assert_eq!(calls(&store), ["enter 1", "enter 2", "enter 3"]);
    entered.push(Ok(Some(held(LeaseId::new()))));
    let error = store.enter(&name("a"), &attempt).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().starts_with("enter of lock \"a\" on scripted: "), "{error}");
}

#[tokio::test]
async fn an_invalid_attempt_to_enter_is_not_sent() {
    let store = store();
    let attempt =
        |ttl, kind| EnterOptions::new(LeaseId::new(), Holder::current(), ttl, kind).with_weight(2);
    for options in [
        attempt(Duration::ZERO, LockKind::semaphore(2).unwrap()),
        attempt(SECOND, LockKind::Fair),
        attempt(SECOND, LockKind::Exclusive),
    ] {
        assert!(store.enter(&name("a"), &options).await.unwrap_err().is_invalid(), "{options:?}");
    }
    assert_eq!(calls(&store), [""; 0]);
}

#[tokio::test]
async fn a_backend_without_queues_says_so() {
    let store = store();
    let error = store.leave(&name("a"), LeaseId::new()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "leave of lock \"a\" on scripted: the store does not support queues; use an exclusive \
         lock, or another store"
    );
    assert!(error.is_unsupported());
}

/// Records say by the nil UUID that a name has a queue.
#[tokio::test]
async fn the_nil_uuid_is_not_a_lease_id() {
    let store = store();
    let nil = LeaseId::from_uuid(Uuid::nil());
    let (holder, at) = (Holder::current(), name("a"));
    let acquire = AcquireOptions::new(nil, holder.clone(), SECOND);
    let enter = EnterOptions::new(nil, holder, SECOND, LockKind::Fair);
    let renewal = RenewOptions::new(at.clone(), nil, SECOND);
    assert!(store.acquire(&at, &acquire).await.unwrap_err().is_invalid());
    assert!(store.enter(&at, &enter).await.unwrap_err().is_invalid());
    assert!(store.renew(&[renewal]).await.unwrap_err().is_invalid());
    assert!(store.release(&at, nil).await.unwrap_err().is_invalid());
    assert_eq!(calls(&store), [""; 0]);
    let valid = ReleaseOptions::new(name("b"), LeaseId::new());
    let outcomes = store.release_many(&[ReleaseOptions::new(at, nil), valid]).await;
    assert!(outcomes[0].as_ref().unwrap_err().is_invalid());
    assert!(outcomes[1].is_ok(), "{outcomes:?}");
    assert_eq!(calls(&store), ["release b"]);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_name_keeps_its_reason() {
    let store = store();
    let reason = Reason::new("first").unwrap();
    let first = Disablement::new(reason.clone()).with_since(SECOND);
    let record = LockRecord::unused(name("a")).with_disabled(first);
    store.backend().disabled.push(Ok(Decision::Refused(LockRecord::unused(name("a")))));
    store.backend().disabled.push(Ok(Decision::Refused(record)));
    let options = DisableOptions::new(Reason::new("second").unwrap());
    let outcome = store.disable(&name("a"), &options).await.unwrap();
    let DisableOutcome::AlreadyDisabled(first) = outcome else { panic!("{outcome:?}") };
    assert_eq!(first.reason, reason);
    store.backend().disabled.push(Ok(Decision::Done(())));
    let outcome = store.disable(&name("a"), &options).await.unwrap();
    assert_eq!(outcome, DisableOutcome::Disabled);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_call_fails_with_the_kind_of_error_of_its_operation() {
    let store = store();
    let error = store.acquire(&name("a"), &attempt()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(
        error.to_string(),
        "acquire of lock \"a\" on scripted: the datastore did not answer within 10s; is it up, \
         and reachable from here?"
    );
    let error = store.get(&name("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let lease = RenewOptions::new(name("a"), LeaseId::new(), 20 * SECOND);
    let renewal = timeout(60 * SECOND, store.renew(std::slice::from_ref(&lease))).await;
    assert!(renewal.is_err(), "the backend limits it: {renewal:?}");
}

#[tokio::test]
async fn nothing_is_sent_with_a_ttl_out_of_bounds() {
    let store = store();
    let options = AcquireOptions::new(LeaseId::new(), Holder::current(), Duration::ZERO);
    assert!(store.acquire(&name("a"), &options).await.unwrap_err().is_invalid());
    let lease = RenewOptions::new(name("a"), LeaseId::new(), Duration::MAX);
    let error = store.renew(&[lease]).await.unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("lock \"a\""), "{error}");
    let presence = Presence::new(Holder::current(), Vec::new());
    assert!(store.announce(&presence, Duration::MAX).await.unwrap_err().is_invalid());
    assert_eq!(store.renew(&[]).await.unwrap(), []);
    assert_eq!(calls(&store), [""; 0]);
}

#[tokio::test]
async fn a_batch_contains_each_lease_once_and_reports_each_failure() {
    let store = store();
    let lease = |at: &str| RenewOptions::new(name(at), LeaseId::new(), SECOND);
    let (a, b) = (lease("a"), lease("b"));
    let extended = RenewOutcome::extended(SECOND);
    let results = vec![Err(failure(ErrorKind::Unavailable)), Ok(extended.clone())];
    store.backend().renewed.push(Ok(results));
    let outcomes = store.renew(&[b.clone(), a, b]).await.unwrap();
    assert_eq!(calls(&store), ["a b"]);
    assert_eq!([&outcomes[0], &outcomes[2]], [&extended, &extended]);
    assert!(matches!(outcomes[1], RenewOutcome::Unknown { .. }), "{outcomes:?}");
}

#[tokio::test]
async fn leases_are_released_by_one_call_or_one_after_the_other() {
    let store = store();
    let lease = |at: &str| ReleaseOptions::new(name(at), LeaseId::new());
    let leases = [lease("b"), lease("a")];
    let released = &store.backend().released;
    let results = vec![Err(failure(ErrorKind::Unavailable)), Ok(ReleaseOutcome::Released)];
    released.push(Ok(Some(results)));
    let outcomes = store.release_many(&leases).await;
    assert_eq!(calls(&store), ["release a b"]);
    assert!(matches!(outcomes[0], Ok(ReleaseOutcome::Released)), "{outcomes:?}");
    let error = outcomes[1].as_ref().unwrap_err();
    assert_eq!(error.to_string(), "release of lock \"a\" on scripted: it failed");
    released.push(Err(failure(ErrorKind::OutcomeUnknown)));
    let outcomes = store.release_many(&leases).await;
    assert_eq!(calls(&store), ["release a b"]);
    for (outcome, lease) in outcomes.iter().zip(&leases) {
        let error = outcome.as_ref().unwrap_err();
        assert!(error.is_outcome_unknown(), "{error}");
        assert!(error.to_string().contains(lease.name.as_str()), "{error}");
    }
    released.push(Ok(None));
    let outcomes = store.release_many(&leases).await;
    assert_eq!(calls(&store), ["release a b", "release b", "release a"]);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!(store.release_many(&[]).await.is_empty());
    assert_eq!(calls(&store), [""; 0]);
}

#[tokio::test]
async fn a_list_fills_its_page_although_some_records_are_unreadable() {
    let store = store();
    let record = |at: &str| Entry::Record(LockRecord::unused(name(at)));
    let corrupt = |name| Entry::Corrupt { name, error: failure(ErrorKind::Corrupt) };
    let pages = &store.backend().pages;
    let first = vec![record("a"), corrupt(None), corrupt(Some(name("c")))];
    pages.push(Ok(Found { entries: first, next: Some(b"c".to_vec()) }));
    pages.push(Ok(Found { entries: vec![record("d")], next: None }));
    let options = ListOptions::default().with_limit(3);
    let records = store.list(&options).await.unwrap();
    let names: Vec<_> = records.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, ["a", "c", "d"]);
    assert_eq!(records[1].corrupt.as_deref(), Some("it failed"));
    assert_eq!(calls(&store), ["3 after \"\"", "1 after \"c\""]);
    for options in
        [ListOptions::default().with_limit(0), ListOptions::default().with_prefix("a\0".to_owned())]
    {
        assert_eq!(store.list(&options).await.unwrap(), []);
    }
    assert_eq!(calls(&store), [""; 0]);
}

#[tokio::test]
async fn an_unreadable_record_is_returned_and_another_failure_is_an_error() {
    let store = store();
    let error = failure(ErrorKind::Corrupt);
    store.backend().read.push(Ok(Some(Entry::Corrupt { name: None, error: error.clone() })));
    let record = store.get(&name("a")).await.unwrap().unwrap();
    assert_eq!(record.corrupt.as_deref(), Some("it failed"));
    // A missing table is an error, not a corrupt record.
    store.backend().read.push(Err(error));
    let error = store.get(&name("a")).await.unwrap_err();
    assert_eq!(error.to_string(), "get of lock \"a\" on scripted: it failed");
}

#[tokio::test]
async fn names_are_pruned_page_by_page() {
    let store = store();
    let pruned = &store.backend().pruned;
    pruned.push(Ok(Found { entries: vec![name("a")], next: Some(b"b".to_vec()) }));
    pruned.push(Ok(Found { entries: vec![name("c")], next: Some(b"c".to_vec()) }));
    let options = PruneOptions::default().with_limit(2);
    assert_eq!(store.prune(&options).await.unwrap(), [name("a"), name("c")]);
    assert_eq!(calls(&store), ["2 after \"\"", "1 after \"b\""]);
    let none = options.with_limit(0);
    assert_eq!(store.prune(&none).await.unwrap(), []);
}
