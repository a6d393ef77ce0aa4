//! What Leasehold did not write.

use std::sync::Arc;

use leasehold::mongodb::MongoStore;
use leasehold_conformance::CaseResult;
use leasehold_conformance::expect::extended;
use leasehold_core::{
    DisableOptions, ErrorKind, LeaseId, LockName, LockStoreExt, Reason, ReleaseOutcome,
    RenewOptions, RenewOutcome,
};
use mongodb::bson::{Bson, Document, doc};

use super::super::{MongoDb, options};
use super::{TTL, locks, new_locks, new_namespace, said};

pub(super) async fn foreign_collections(this: Arc<MongoDb>) -> CaseResult {
    let place = this.place().await?;
    let database = place.database();
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
        let opened = MongoStore::connect(place.url(), &options(&namespace)).await;
        let error = opened.expect_err("this is no collection of locks");
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

pub(super) async fn a_foreign_document(this: Arc<MongoDb>) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    let (name, lease) = (LockName::new("job")?, LeaseId::new());
    client.take(&LockName::new("a")?, TTL).await?;
    for foreign in [
        doc! { "_id": "job", "salary": 1 },
        doc! { "_id": "job", "token": "abc", "signal": 0_i64 },
        doc! { "_id": "job", "token": 1_i64 },
    ] {
        locks.replace_one(doc! { "_id": "job" }, foreign.clone()).upsert(true).await?;
        let asked = client.options(lease, TTL);
        let error = client.store().acquire(&name, &asked).await.expect_err("it is not ours");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("\"job\""), "{error}");
        let disable = DisableOptions { reason: Reason::new("upkeep")?, by: None };
        let error = client.store().disable(&name, &disable).await.expect_err("it is not ours");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(client.store().renew_one(&name, lease, TTL).await?, RenewOutcome::Lost);
        assert_eq!(client.store().release(&name, lease).await?, ReleaseOutcome::NotHeld);
        client.store().enable(&name).await?;
        assert_eq!(locks.find_one(doc! { "_id": "job" }).await?, Some(foreign));
    }
    Ok(leasehold_conformance::Backend::clean(&*this, &namespace).await?)
}

pub(super) async fn damaged_documents(this: Arc<MongoDb>) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    let (name, sound) = (LockName::new("damaged")?, LockName::new("sound")?);
    let sound = client.take(&sound, TTL).await?;
    for (field, value) in [
        ("token", Bson::Int32(7)),
        ("token", Bson::Int64(-7)),
        ("lease", Bson::from("no lease")),
        ("lease", Bson::Int64(7)),
        ("expires", Bson::from("tomorrow")),
        ("expires", Bson::DateTime(mongodb::bson::DateTime::now())),
        ("holder", Bson::from("{")),
        ("granted", Bson::Null),
        ("ending", Bson::Int64(7)),
        ("disabled", Bson::from("upkeep")),
        ("signal", Bson::Double(7.0)),
    ] {
        locks.delete_one(doc! { "_id": "damaged" }).await?;
        let taken = client.take(&name, TTL).await?;
        let damage = doc! { "$set": { field: value.clone() } };
        locks.update_one(doc! { "_id": "damaged" }, damage).await?;
        let asked = client.options(LeaseId::new(), TTL);
        for error in [
            client.store().acquire(&name, &asked).await.err(),
            client.store().get(&name).await.err(),
            client.store().list_all("").await.err(),
        ] {
            let error = error.unwrap_or_else(|| panic!("{field}: {value} is no damage"));
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{field}: {}", said(&error));
            assert!(error.to_string().contains("\"damaged\""), "{field}: {error}");
        }
        let batch = [&taken, &sound].map(|taken| RenewOptions {
            name: taken.name.clone(),
            lease: taken.lease,
            ttl: TTL,
        });
        let outcomes = client.store().renew(&batch).await?;
        assert_eq!(outcomes[0], RenewOutcome::Lost, "{field}: {value}");
        extended(outcomes[1].clone());
    }
    Ok(leasehold_conformance::Backend::clean(&*this, &namespace).await?)
}

pub(super) async fn a_dropped_collection(this: Arc<MongoDb>) -> CaseResult {
    let (client, locks, namespace) = new_locks(&this).await?;
    let name = LockName::new("job")?;
    let taken = client.take(&name, TTL).await?;
    locks.drop().await?;
    assert_eq!(client.renew(&name, taken.lease, TTL).await?, RenewOutcome::Lost);
    assert!(client.take(&name, TTL).await?.token > taken.token);
    Ok(leasehold_conformance::Backend::clean(&*this, &namespace).await?)
}
