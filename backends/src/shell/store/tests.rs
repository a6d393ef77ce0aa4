use super::super::scripted::Scripted;
use super::super::{Decision, Entry, Found};
use super::*;
use crate::{
    AcquireOptions, Disablement, ErrorKind, FencingToken, Grant, Holder, LeaseId, LeaseRecord,
    Reason,
};

const SECOND: Duration = Duration::from_secs(1);

fn name(name: &str) -> LockName {
    LockName::new(name).unwrap()
}

fn attempt() -> AcquireOptions {
    AcquireOptions { lease: LeaseId::new(), holder: Holder::current(), ttl: 20 * SECOND }
}

fn token(token: u64) -> FencingToken {
    FencingToken::new(token).unwrap()
}

fn held(by: LeaseId) -> LockRecord {
    let holder = Holder::current();
    let (held_for, left, ending) = (SECOND, SECOND, None);
    let lease = Some(LeaseRecord { id: by, holder, held_for, left, ending });
    LockRecord { token: Some(token(7)), lease, ..LockRecord::unused(name("a")) }
}

fn failure(kind: ErrorKind) -> Error {
    Error::new(kind, "it failed")
}

fn store() -> Store<Scripted> {
    Store::new(Scripted::default())
}

fn asked(store: &Store<Scripted>) -> Vec<String> {
    std::mem::take(&mut *store.backend().asked.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_repeated_while_what_stood_against_it_is_gone() {
    let (store, attempt) = (store(), attempt());
    let acquired = &store.backend().acquired;
    acquired.push(Ok(Decision::Changed));
    acquired.push(Ok(Decision::Refused(LockRecord::unused(name("a")))));
    acquired.push(Ok(Decision::Done(Grant { token: token(9), left: SECOND })));
    let outcome = store.acquire(&name("a"), &attempt).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Granted(grant) if grant.token == token(9)));
    assert_eq!(asked(&store), ["acquire 1", "acquire 2", "acquire 3"]);
    acquired.push(Ok(Decision::Refused(held(LeaseId::new()))));
    let outcome = store.acquire(&name("a"), &attempt).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Held(_)), "{outcome:?}");
    // The attempt was granted earlier, and its reply was lost.
    acquired.push(Ok(Decision::Refused(held(attempt.lease))));
    let outcome = store.acquire(&name("a"), &attempt).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Granted(grant) if grant.token == token(7)));
}

#[tokio::test(start_paused = true)]
async fn a_disabled_name_keeps_its_reason() {
    let store = store();
    let reason = Reason::new("first").unwrap();
    let standing = Disablement { reason: reason.clone(), by: None, since: SECOND };
    let record = LockRecord { disabled: Some(standing), ..LockRecord::unused(name("a")) };
    store.backend().disabled.push(Ok(Decision::Refused(LockRecord::unused(name("a")))));
    store.backend().disabled.push(Ok(Decision::Refused(record)));
    let options = DisableOptions { reason: Reason::new("second").unwrap(), by: None };
    let outcome = store.disable(&name("a"), &options).await.unwrap();
    let DisableOutcome::AlreadyDisabled(standing) = outcome else { panic!("{outcome:?}") };
    assert_eq!(standing.reason, reason);
    store.backend().disabled.push(Ok(Decision::Done(())));
    let outcome = store.disable(&name("a"), &options).await.unwrap();
    assert_eq!(outcome, DisableOutcome::Disabled);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_as_its_operation_must() {
    let store = store();
    let error = store.acquire(&name("a"), &attempt()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(
        error.to_string(),
        "acquire of lock \"a\" on scripted: the store did not answer within 10s; is it up, and \
         reachable from here?"
    );
    let error = store.get(&name("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let lease = RenewOptions { name: name("a"), lease: LeaseId::new(), ttl: 20 * SECOND };
    let renewal = timeout(60 * SECOND, store.renew(std::slice::from_ref(&lease))).await;
    assert!(renewal.is_err(), "the backend limits it: {renewal:?}");
}

#[tokio::test]
async fn nothing_is_sent_with_a_ttl_out_of_bounds() {
    let store = store();
    let options = AcquireOptions { ttl: Duration::ZERO, ..attempt() };
    assert!(store.acquire(&name("a"), &options).await.unwrap_err().is_invalid());
    let lease = RenewOptions { name: name("a"), lease: LeaseId::new(), ttl: Duration::MAX };
    let error = store.renew(&[lease]).await.unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("lock \"a\""), "{error}");
    let presence = Presence { holder: Holder::current(), campaigns: Vec::new(), unlisted: 0 };
    assert!(store.announce(&presence, Duration::MAX).await.unwrap_err().is_invalid());
    assert_eq!(store.renew(&[]).await.unwrap(), []);
    assert_eq!(asked(&store), [""; 0]);
}

#[tokio::test]
async fn a_batch_names_each_lease_once_and_tells_of_each_failure() {
    let store = store();
    let lease = |at: &str| RenewOptions { name: name(at), lease: LeaseId::new(), ttl: SECOND };
    let (a, b) = (lease("a"), lease("b"));
    let extended = RenewOutcome::Extended { left: SECOND };
    let results = vec![Err(failure(ErrorKind::Unavailable)), Ok(extended.clone())];
    store.backend().renewed.push(Ok(results));
    let outcomes = store.renew(&[b.clone(), a, b]).await.unwrap();
    assert_eq!(asked(&store), ["a b"]);
    assert_eq!([&outcomes[0], &outcomes[2]], [&extended, &extended]);
    assert!(matches!(outcomes[1], RenewOutcome::Unknown { .. }), "{outcomes:?}");
}

#[tokio::test]
async fn a_list_fills_its_page_in_spite_of_unreadable_records() {
    let store = store();
    let record = |at: &str| Entry::Record(LockRecord::unused(name(at)));
    let corrupt = |name| Entry::Corrupt { name, error: failure(ErrorKind::Corrupt) };
    let pages = &store.backend().pages;
    let first = vec![record("a"), corrupt(None), corrupt(Some(name("c")))];
    pages.push(Ok(Found { entries: first, next: Some(b"c".to_vec()) }));
    pages.push(Ok(Found { entries: vec![record("d")], next: None }));
    let options = ListOptions { limit: 3, ..ListOptions::default() };
    let records = store.list(&options).await.unwrap();
    let names: Vec<_> = records.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, ["a", "c", "d"]);
    assert_eq!(records[1].corrupt.as_deref(), Some("it failed"));
    assert_eq!(asked(&store), ["3 after \"\"", "1 after \"c\""]);
    for options in [
        ListOptions { limit: 0, ..ListOptions::default() },
        ListOptions { prefix: "a\0".to_owned(), ..ListOptions::default() },
    ] {
        assert_eq!(store.list(&options).await.unwrap(), []);
    }
    assert_eq!(asked(&store), [""; 0]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_shown_and_another_failure_is_not() {
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
    let options = PruneOptions { limit: 2, ..PruneOptions::default() };
    assert_eq!(store.prune(&options).await.unwrap(), [name("a"), name("c")]);
    assert_eq!(asked(&store), ["2 after \"\"", "1 after \"b\""]);
    let none = PruneOptions { limit: 0, ..options };
    assert_eq!(store.prune(&none).await.unwrap(), []);
}
