//! These cases cover the queues of locks: commands, the clock, damaged documents and hints.

use std::sync::Arc;

use futures_util::StreamExt;
use leasehold_conformance::expect::extended;
use leasehold_conformance::{Backend, CaseResult, Client};
use leasehold_core::{
    AcquireOutcome, EnterOptions, ErrorKind, Hint, LeaseId, LockKind, LockName, LockState,
    ReleaseOutcome, RenewOptions, RenewOutcome,
};
use mongodb::bson::{Bson, Document, doc};
use tokio::time::timeout;

use super::support::{LIMIT, TTL, new_locks, new_namespace, open};
use crate::mongodb::backend::MongoDb;
use crate::mongodb::endpoint::{Endpoint, STANDALONE};

async fn enter(client: &Client, name: &LockName, lease: LeaseId) -> CaseResult<AcquireOutcome> {
    let options = EnterOptions::new(lease, client.holder().clone(), TTL, LockKind::Fair);
    Ok(client.store().enter(name, &options).await?)
}

fn renewal(name: &LockName, lease: LeaseId) -> RenewOptions {
    RenewOptions::new(name.clone(), lease, TTL).of_entry(true)
}

/// A command that began before another decision, and is executed after it, decides by the later clock:
/// an entry that had expired by then is not revived, although it is live by the command's own time.
pub(super) async fn a_command_that_waited_revives_no_entry(this: Arc<MongoDb>) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    let name = LockName::new("job")?;
    let [first, second] = [LeaseId::new(), LeaseId::new()];
    for batch in [false, true] {
        for lease in [first, second] {
            enter(&client, &name, lease).await?;
        }
        // This is what a later decision leaves: its clock is past the end of the first entry.
        let document = locks.find_one(doc! { "_id": "job" }).await?.expect("it has a queue");
        let clock = document.get_i64("clock")? + 100_000;
        let later = doc! { "$set": { "clock": clock, "queue.0.x": clock } };
        locks.update_one(doc! { "_id": "job" }, later).await?;
        let leases: &[_] = if batch { &[first, second] } else { &[first] };
        let renewals: Vec<_> = leases.iter().map(|lease| renewal(&name, *lease)).collect();
        let outcomes = client.store().renew(&renewals).await?;
        assert_eq!(outcomes[0], RenewOutcome::Lost);
        extended(client.store().renew(&[renewal(&name, second)]).await?.remove(0));
        assert_eq!(client.store().leave(&name, second).await?, ReleaseOutcome::Released);
    }
    Ok(this.clean(&namespace).await?)
}

pub(super) async fn a_corrupt_queue_affects_only_its_own_name(this: Arc<MongoDb>) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    let (name, sound) = (LockName::new("damaged")?, LockName::new("sound")?);
    let other = LeaseId::new();
    enter(&client, &sound, other).await?;
    for (field, value) in [
        ("kind", Bson::from("exclusive")),
        ("kind", Bson::Null),
        ("capacity", Bson::Int64(2)),
        ("clock", Bson::Int64(i64::MAX)),
        ("clock", Bson::from("now")),
        ("queue", Bson::from("[]")),
        ("queue", Bson::from(vec![Bson::Null])),
        ("queue.0.l", Bson::from("no uuid")),
        ("queue.0.p", Bson::Int64(0)),
        ("queue.0.w", Bson::Double(1.0)),
        ("queue.0.h", Bson::from("{")),
        ("queue.0.t", Bson::from("then")),
        ("queue.0.x", Bson::from("later")),
        ("queue.0.e", Bson::Int64(7)),
        ("holder", Bson::Int64(7)),
    ] {
        locks.delete_one(doc! { "_id": "damaged" }).await?;
        let lease = LeaseId::new();
        enter(&client, &name, lease).await?;
        let damage = doc! { "$set": { field: value.clone() } };
        locks.update_one(doc! { "_id": "damaged" }, damage).await?;
        let case = format!("{field}: {value}");
        let shown = client.get(&name).await?.map(|record| record.state());
        assert_eq!(shown, Some(LockState::Corrupt), "{case}");
        let attempt = client.options(LeaseId::new(), TTL);
        let entering =
            EnterOptions::new(LeaseId::new(), client.holder().clone(), TTL, LockKind::Fair);
        for error in [
            client.store().acquire(&name, &attempt).await.expect_err(&case),
            client.store().enter(&name, &entering).await.expect_err(&case),
        ] {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{case}: {error}");
        }
        let renewals = [renewal(&name, lease), renewal(&sound, other)];
        let mut outcomes = client.store().renew(&renewals).await?;
        extended(outcomes.pop().expect("the sound lock has an outcome"));
        outcomes.push(client.store().renew(&renewals[..1]).await?.remove(0));
        for outcome in outcomes {
            assert!(matches!(outcome, RenewOutcome::Unknown { .. }), "{case}: {outcome:?}");
        }
    }
    Ok(this.clean(&namespace).await?)
}

/// An exclusive lock does not clear what an earlier queue left in the document, and an earlier version
/// does not know these fields.
pub(super) async fn an_earlier_queue_of_the_document_has_no_effect(
    this: Arc<MongoDb>,
) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    let (name, entry) = (LockName::new("job")?, LeaseId::new());
    enter(&client, &name, entry).await?;
    let expired = doc! { "$set": { "expires": 1_i64, "queue": "damaged" } };
    locks.update_one(doc! { "_id": "job" }, expired).await?;
    let taken = client.acquire_free(&name, TTL).await?;
    assert_eq!(client.holder_of(&name).await?, Some(taken.lease));
    assert_eq!(client.store().renew(&[renewal(&name, entry)]).await?, [RenewOutcome::Lost]);
    assert_eq!(client.store().leave(&name, entry).await?, ReleaseOutcome::NotHeld);
    let error = enter(&client, &name, entry).await.expect_err("it is held");
    assert!(error.to_string().contains("an exclusive lock"), "{error}");
    client.release_held(&taken).await?;
    assert!(matches!(enter(&client, &name, entry).await?, AcquireOutcome::Granted(_)));
    Ok(this.clean(&namespace).await?)
}

pub(super) async fn a_change_stream_names_the_entries_that_hold_the_lock(
    this: Arc<MongoDb>,
) -> CaseResult {
    let (client, _, namespace) = new_locks(&this).await?;
    hints_name_the_holders(&client).await?;
    Ok(this.clean(&namespace).await?)
}

pub(super) async fn a_polling_watch_names_the_entries_that_hold_the_lock(
    _: Arc<MongoDb>,
) -> CaseResult {
    let endpoint = Endpoint::start(&STANDALONE).await?;
    hints_name_the_holders(&open(&endpoint, &new_namespace()?).await?).await
}

async fn hints_name_the_holders(client: &Client) -> CaseResult {
    let name = LockName::new("job")?;
    let [first, second, third] = [LeaseId::new(), LeaseId::new(), LeaseId::new()];
    for lease in [first, second, third] {
        enter(client, &name, lease).await?;
    }
    let mut hints = client.watch().await?;
    client.store().renew(&[renewal(&name, first), renewal(&name, second)]).await?;
    // Nobody holds the lock because of this, so there is no hint.
    client.store().leave(&name, third).await?;
    client.store().leave(&name, first).await?;
    let hint = timeout(LIMIT, hints.next()).await?;
    assert_eq!(hint, Some(Hint::Entries(name.clone(), vec![second])));
    let by_name = Some(Hint::Name(name.clone()));
    client.disable(&name, "upkeep").await?;
    assert_eq!(timeout(LIMIT, hints.next()).await?, by_name);
    client.enable(&name).await?;
    assert_eq!(timeout(LIMIT, hints.next()).await?, by_name);
    client.store().leave(&name, second).await?;
    assert_eq!(timeout(LIMIT, hints.next()).await?, by_name);
    Ok(())
}

/// Values of callers are not evaluated in the pipelines of queues either.
pub(super) async fn values_of_entries_are_not_evaluated(this: Arc<MongoDb>) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    for text in ["$$NOW", "$$ROOT", "$_id", "$a.b"] {
        let (name, lease) = (LockName::new(text)?, LeaseId::new());
        let holder = client.holder().clone().with_label(text);
        let options = EnterOptions::new(lease, holder.clone(), TTL, LockKind::Fair);
        client.store().enter(&name, &options).await?;
        let queue = client.get(&name).await?.expect("it is on record").queue;
        assert_eq!(queue.expect("it has a queue").entries[0].holder, holder);
        client.store().leave(&name, lease).await?;
        let left: Option<Document> = locks.find_one(doc! { "_id": text }).await?;
        let left = left.expect("the token stays");
        for field in ["lease", "holder", "expires", "kind", "capacity", "queue", "clock"] {
            assert!(!left.contains_key(field), "{left}");
        }
    }
    Ok(this.clean(&namespace).await?)
}
