//! These cases cover the announcements of instances.

use std::sync::Arc;

use leasehold_conformance::{Backend, CaseResult, Client};
use leasehold_core::{Holder, Namespace, Presence};
use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};

use super::support::{TTL, new_locks};
use crate::mongodb::backend::MongoDb;

pub(super) fn presence() -> Presence {
    Presence::new(Holder::current(), Vec::new())
}

/// Returns a client of a new namespace, and the collection of its instances.
async fn new_instances(this: &MongoDb) -> CaseResult<(Client, Collection<Document>, Namespace)> {
    let (client, _, namespace) = new_locks(this).await?;
    let instances = this.database().await?.collection(&format!("{namespace}_instances"));
    Ok((client, instances, namespace))
}

pub(super) async fn a_corrupt_instance_record_hides_no_other(this: Arc<MongoDb>) -> CaseResult {
    let (client, instances, namespace) = new_instances(&this).await?;
    let (good, here) = (presence(), presence());
    client.store().announce(&good, TTL).await?;
    let id = here.holder.instance.to_string();
    let matching = doc! { "_id": &id };
    for (field, value) in [
        ("presence", Bson::from("{")),
        ("presence", Bson::from(serde_json::to_string(&good)?)),
        ("presence", Bson::Null),
        ("expires", Bson::from("tomorrow")),
        ("expires", Bson::Int32(7)),
        ("expires", Bson::DateTime(mongodb::bson::DateTime::now())),
    ] {
        client.store().announce(&here, TTL).await?;
        assert_eq!(client.store().instances().await?.len(), 2, "{field}: {value}");
        let damage = doc! { "$set": { field: value.clone() } };
        instances.update_one(matching.clone(), damage).await?;
        let damaged = instances.find_one(matching.clone()).await?;
        let known = client.store().instances().await?;
        assert_eq!(known.len(), 1, "{field}: {value}: {known:?}");
        assert_eq!(known[0].presence, good);
        // A new instance does not remove it either.
        let new = presence();
        client.store().announce(&new, TTL).await?;
        client.store().withdraw(new.holder.instance).await?;
        assert_eq!(instances.find_one(matching.clone()).await?, damaged);
    }
    client.store().withdraw(here.holder.instance).await?;
    assert_eq!(instances.find_one(matching).await?, None);
    Ok(this.clean(&namespace).await?)
}

pub(super) async fn expired_instances_are_removed(this: Arc<MongoDb>) -> CaseResult {
    let (client, instances, namespace) = new_instances(&this).await?;
    let (silent, here) = (presence(), presence());
    client.store().announce(&here, TTL).await?;
    client.store().announce(&silent, TTL).await?;
    // This makes the announcement expire, however slow the machine is.
    let named = doc! { "_id": silent.holder.instance.to_string() };
    instances.update_one(named, doc! { "$set": { "expires": 1_i64 } }).await?;
    assert_eq!(client.store().instances().await?.len(), 1);
    // Instances that are already known remove nothing.
    client.store().announce(&here, TTL).await?;
    assert_eq!(instances.count_documents(doc! {}).await?, 2);
    client.store().announce(&presence(), TTL).await?;
    assert_eq!(instances.count_documents(doc! {}).await?, 2);
    let silent = doc! { "_id": silent.holder.instance.to_string() };
    assert_eq!(instances.find_one(silent).await?, None);
    Ok(this.clean(&namespace).await?)
}
