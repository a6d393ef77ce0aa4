use std::time::Duration;

use super::super::Store;
use super::super::scripted::Scripted;
use super::*;
use crate::{LeaseId, LockName, LockStore};

const SECOND: Duration = Duration::from_secs(1);

fn renewal(name: &str, entry: bool) -> RenewOptions {
    RenewOptions::new(LockName::new(name).unwrap(), LeaseId::new(), SECOND).of_entry(entry)
}

fn extended(secs: u64) -> Result<RenewOutcome> {
    Ok(RenewOutcome::extended(Duration::from_secs(secs)))
}

fn queued(ahead: usize) -> Result<RenewOutcome> {
    Ok(RenewOutcome::queued(SECOND, ahead, SECOND))
}

fn failure(kind: ErrorKind) -> Error {
    Error::new(kind, "it failed")
}

fn calls(store: &Store<Scripted>) -> Vec<String> {
    let mut calls = std::mem::take(&mut *store.backend().calls.lock().unwrap());
    calls.sort_unstable();
    calls
}

#[tokio::test]
async fn leases_and_entries_are_renewed_by_one_call_each() {
    let store = Store::new(Scripted::default());
    let batch = [renewal("a", false), renewal("b", true), renewal("c", false), renewal("d", true)];
    store.backend().renewed.push(Ok(vec![extended(1), extended(3)]));
    store.backend().entries_renewed.push(Ok(vec![queued(2), queued(4)]));
    let outcomes = store.renew(&batch).await.unwrap();
    let expected = [extended(1), queued(2), extended(3), queued(4)].map(Result::unwrap);
    assert_eq!(outcomes, expected);
    assert_eq!(calls(&store), ["a c", "entries b d"]);
}

#[tokio::test]
async fn a_batch_of_one_sort_makes_one_call() {
    let store = Store::new(Scripted::default());
    store.backend().entries_renewed.push(Ok(vec![queued(1)]));
    let outcomes = store.renew(&[renewal("a", true)]).await.unwrap();
    assert_eq!(outcomes, [queued(1).unwrap()]);
    store.backend().renewed.push(Ok(vec![extended(1)]));
    store.renew(&[renewal("b", false)]).await.unwrap();
    assert_eq!(calls(&store), ["b", "entries a"]);
}

#[tokio::test]
async fn a_call_that_fails_concerns_only_its_own_renewals() {
    let store = Store::new(Scripted::default());
    let batch = [renewal("a", false), renewal("b", true)];
    store.backend().renewed.push(Ok(vec![extended(1)]));
    store.backend().entries_renewed.push(Err(failure(ErrorKind::Unavailable)));
    let outcomes = store.renew(&batch).await.unwrap();
    assert_eq!(outcomes[0], extended(1).unwrap());
    assert!(matches!(outcomes[1], RenewOutcome::Unknown { .. }), "{outcomes:?}");
    // A call with too few results says nothing about any of its renewals.
    store.backend().renewed.push(Ok(Vec::new()));
    store.backend().entries_renewed.push(Ok(vec![queued(1)]));
    let outcomes = store.renew(&batch).await.unwrap();
    assert!(matches!(outcomes[0], RenewOutcome::Unknown { .. }), "{outcomes:?}");
    assert_eq!(outcomes[1], queued(1).unwrap());
    store.backend().renewed.push(Err(failure(ErrorKind::Unavailable)));
    store.backend().entries_renewed.push(Err(failure(ErrorKind::OutcomeUnknown)));
    assert!(store.renew(&batch).await.unwrap_err().is_unavailable());
}
