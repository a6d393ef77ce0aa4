//! These cases cover documents that Leasehold did not write.

use std::sync::Arc;

use leasehold::mongodb::MongoStore;
use leasehold_conformance::CaseResult;
use leasehold_conformance::expect::extended;
use leasehold_core::{
    DisableOptions, ErrorKind, LeaseId, ListOptions, LockName, LockState, LockStoreExt,
    PruneOptions, Reason, ReleaseOutcome, RenewOptions, RenewOutcome,
};
use mongodb::bson::{Bson, Document, doc};

use super::support::{TTL, full_message, locks, new_locks, new_namespace};
use crate::mongodb::backend::{MongoDb, options};

pub(super) async fn foreign_collections_are_refused_and_not_changed(
    this: Arc<MongoDb>,
) -> CaseResult {
    let endpoint = this.endpoint().await?;
    let database = endpoint.database();
    for (what, more) in [
        ("a collation", doc! { "collation": { "locale": "en", "strength": 1 } }),
        ("a cap", doc! { "capped": true, "size": 10_000 }),
        ("a view", doc! { "viewOn": "data", "pipeline": [] }),
        ("a time series", doc! { "timeseries": { "timeField": "at" } }),
        ("documents", doc! {}),
    ] {
        let namespace = new_namespace()?;
        let locks = locks(database, &namespace);
        let mut create = doc! { "create": locks.name() };
        create.extend(more);
        database.run_command(create).await?;
        if what == "documents" {
            locks.insert_one(doc! { "_id": "job", "salary": 1 }).await?;
        }
        let before = all(&locks).await?;
        let opened = MongoStore::connect(endpoint.url(), &options(&namespace)).await;
        let error = opened.expect_err("this is not a collection of locks");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        assert!(error.to_string().contains(locks.name()), "{what}: {error}");
        assert_eq!(all(&locks).await?, before, "{what}");
        locks.drop().await?;
    }
    Ok(())
}

async fn all(locks: &mongodb::Collection<Document>) -> CaseResult<Vec<Document>> {
    use futures_util::TryStreamExt;
    Ok(locks.find(doc! {}).await?.try_collect().await?)
}

pub(super) async fn foreign_documents_are_reported_and_not_changed(
    this: Arc<MongoDb>,
) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    let (name, lease) = (LockName::new("job")?, LeaseId::new());
    client.acquire_free(&LockName::new("a")?, TTL).await?;
    for foreign in [
        doc! { "_id": "job", "salary": 1 },
        doc! { "_id": "job", "token": "abc", "signal": 0_i64 },
        doc! { "_id": "job", "token": 1_i64 },
    ] {
        locks.replace_one(doc! { "_id": "job" }, foreign.clone()).upsert(true).await?;
        let request = client.options(lease, TTL);
        let error = client.store().acquire(&name, &request).await.expect_err("it is not ours");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("\"job\""), "{error}");
        let disable = DisableOptions::new(Reason::new("upkeep")?);
        let error = client.store().disable(&name, &disable).await.expect_err("it is not ours");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let renewal = client.store().renew_one(&name, lease, TTL).await?;
        assert!(matches!(renewal, RenewOutcome::Unknown { .. }), "{renewal:?}");
        assert_eq!(client.store().release(&name, lease).await?, ReleaseOutcome::NotHeld);
        client.store().enable(&name).await?;
        assert_eq!(locks.find_one(doc! { "_id": "job" }).await?, Some(foreign));
    }
    Ok(leasehold_conformance::Backend::clean(&*this, &namespace).await?)
}

pub(super) async fn a_corrupt_document_affects_only_its_own_lock(this: Arc<MongoDb>) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    let (name, sound) = (LockName::new("damaged")?, LockName::new("sound")?);
    let sound = client.acquire_free(&sound, TTL).await?;
    for (field, value) in [
        ("token", Bson::Int32(7)),
        ("token", Bson::Int64(-7)),
        ("lease", Bson::from("no lease")),
        ("lease", Bson::Int64(7)),
        ("expires", Bson::from("tomorrow")),
        ("expires", Bson::DateTime(mongodb::bson::DateTime::now())),
        ("holder", Bson::from("{")),
        ("holder", Bson::Int64(7)),
        ("granted", Bson::Null),
        ("ending", Bson::Int64(7)),
        ("disabled", Bson::from("upkeep")),
        ("signal", Bson::Double(7.0)),
    ] {
        locks.delete_one(doc! { "_id": "damaged" }).await?;
        let taken = client.acquire_free(&name, TTL).await?;
        let damage = doc! { "$set": { field: value.clone() } };
        locks.update_one(doc! { "_id": "damaged" }, damage).await?;
        let request = client.options(LeaseId::new(), TTL);
        let error = client.store().acquire(&name, &request).await.err();
        let error = error.unwrap_or_else(|| panic!("{field}: {value} was accepted"));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{field}: {}", full_message(&error));
        assert!(error.to_string().contains("\"damaged\""), "{field}: {error}");
        // The document is read and listed as corrupt, and does not hide other names.
        let shown = client.store().get(&name).await?.map(|record| record.state());
        assert_eq!(shown, Some(LockState::Corrupt), "{field}: {value}");
        let records = client.store().list_all("").await?;
        let shown: Vec<_> = records.iter().map(|it| (it.name.as_str(), it.state())).collect();
        assert_eq!(shown, [("damaged", LockState::Corrupt), ("sound", LockState::Held)]);
        let why = records[0].corrupt.as_deref().unwrap_or_default();
        assert!(why.contains("corrupt document"), "{why}");
        let batch =
            [&taken, &sound].map(|taken| RenewOptions::new(taken.name.clone(), taken.lease, TTL));
        let mut outcomes = client.store().renew(&batch).await?;
        extended(outcomes.pop().expect("the sound lock has an outcome"));
        // A renewal of only the damaged document has the same outcome.
        outcomes.push(client.store().renew_one(&taken.name, taken.lease, TTL).await?);
        // The server decides by the types of the fields, and does not parse the holder.
        let is_renewable = field == "holder" && value.as_str().is_some();
        for outcome in outcomes {
            let is_extended = matches!(outcome, RenewOutcome::Extended { .. });
            let is_unknown = matches!(outcome, RenewOutcome::Unknown { .. });
            let expected = if is_renewable { is_extended } else { is_unknown };
            assert!(expected, "{field}: {value}: {outcome:?}");
        }
    }
    Ok(leasehold_conformance::Backend::clean(&*this, &namespace).await?)
}

pub(super) async fn records_of_a_later_version_are_not_changed(this: Arc<MongoDb>) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    let (later, added) = (LockName::new("later")?, LockName::new("added")?);
    let sound = doc! { "token": 7_i64, "signal": 0_i64 };
    let mut document = doc! { "_id": "later", "version": 2, "more": "anything" };
    document.extend(sound.clone());
    locks.insert_one(document.clone()).await?;
    let mut more = doc! { "_id": "added", "more": "anything" };
    more.extend(sound);
    locks.insert_one(more).await?;
    let request = client.options(LeaseId::new(), TTL);
    let disable = DisableOptions::new(Reason::new("upkeep")?);
    for error in [
        client.store().acquire(&later, &request).await.err(),
        client.store().disable(&later, &disable).await.err(),
    ] {
        let error = error.expect("a later version wrote it");
        let message = full_message(&error);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{message}");
        assert!(message.contains("a later version of leasehold"), "{message}");
    }
    // A lease and a disable of a later version are not changed either.
    let ours = client.acquire_free(&LockName::new("ours")?, TTL).await?;
    client.disable(&ours.name, "upkeep").await?;
    client.acquire_free(&LockName::new("another")?, TTL).await?;
    let to_later = doc! { "$set": { "version": 2 }, "$unset": { "ending": "" } };
    locks.update_one(doc! { "_id": "ours" }, to_later).await?;
    let before = locks.find_one(doc! { "_id": "ours" }).await?;
    let outcome = client.store().renew_one(&ours.name, ours.lease, TTL).await?;
    assert!(matches!(outcome, RenewOutcome::Unknown { .. }), "{outcome:?}");
    let batch = ["ours", "later"].map(LockName::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    let batch = batch.into_iter().map(|name| RenewOptions::new(name, ours.lease, TTL));
    for outcome in client.store().renew(&batch.collect::<Vec<_>>()).await? {
        assert!(matches!(outcome, RenewOutcome::Unknown { .. }), "{outcome:?}");
    }
    for error in [
        client.store().release(&ours.name, ours.lease).await.err(),
        client.store().enable(&ours.name).await.err(),
    ] {
        let error = error.expect("a later version wrote it");
        let message = full_message(&error);
        assert!(message.contains("a later version of leasehold"), "{message}");
    }
    assert_eq!(locks.find_one(doc! { "_id": "ours" }).await?, before);
    // A grant keeps the fields that a later version added, and removes the mark of an earlier
    // disable.
    let kept = client.acquire_free(&LockName::new("kept")?, TTL).await?;
    let more = doc! { "$set": { "more": "anything", "ending": "upkeep", "expires": 1_i64 } };
    locks.update_one(doc! { "_id": "kept" }, more).await?;
    let again = client.acquire_free(&kept.name, TTL).await?;
    extended(client.store().renew_one(&again.name, again.lease, TTL).await?);
    let held = locks.find_one(doc! { "_id": "kept" }).await?.expect("it is held");
    assert_eq!(held.get_str("more").ok(), Some("anything"));
    assert!(!held.contains_key("ending"), "{held}");
    let prune = PruneOptions::default().with_dry_run(false);
    assert_eq!(client.store().prune(&prune).await?, std::slice::from_ref(&added));
    assert_eq!(locks.find_one(doc! { "_id": "later" }).await?, Some(document));
    client.acquire_free(&added, TTL).await?;
    Ok(leasehold_conformance::Backend::clean(&*this, &namespace).await?)
}

/// Writes documents whose names are too long, or empty.
pub(super) async fn documents_that_are_not_names_hide_no_name(this: Arc<MongoDb>) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    let mut expected = Vec::new();
    for name in ["a", "c"] {
        let taken = client.acquire_free(&LockName::new(name)?, TTL).await?;
        client.release_held(&taken).await?;
        expected.push(taken.name);
    }
    for long in 0..5 {
        let name = format!("b{long}{}", "x".repeat(255));
        locks.insert_one(doc! { "_id": name, "token": 7_i64, "signal": 0_i64 }).await?;
    }
    for limit in [1, 2, 500] {
        let mut page = ListOptions::default().with_limit(limit);
        let mut names = Vec::new();
        loop {
            let found = client.store().list(&page).await?;
            names.extend(found.iter().map(|record| record.name.clone()));
            page.after = found.last().map(|record| record.name.clone());
            if found.len() < limit {
                break;
            }
        }
        assert_eq!(names, expected, "in pages of {limit}");
    }
    let unused_for = std::time::Duration::ZERO;
    let prune =
        PruneOptions::default().with_unused_for(unused_for).with_limit(2).with_dry_run(false);
    assert_eq!(client.store().prune(&prune).await?, expected);
    assert_eq!(
        locks.count_documents(doc! {}).await?,
        5,
        "a document that is not a name was removed"
    );
    Ok(leasehold_conformance::Backend::clean(&*this, &namespace).await?)
}

pub(super) async fn tokens_increase_after_the_collection_is_dropped(
    this: Arc<MongoDb>,
) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    let name = LockName::new("job")?;
    let taken = client.acquire_free(&name, TTL).await?;
    locks.drop().await?;
    assert_eq!(client.renew(&name, taken.lease, TTL).await?, RenewOutcome::Lost);
    assert!(client.acquire_free(&name, TTL).await?.token > taken.token);
    Ok(leasehold_conformance::Backend::clean(&*this, &namespace).await?)
}
