//! Instances that make themselves known: a document each, in a collection beside the locks'.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;
use tokio::time::sleep;
use uuid::Uuid;

use super::collection::COMMAND_LIMIT;
use super::permits::PermitKind;
use super::shared::{MongoInner, TRIES};
use super::{error, pipeline, record};
use crate::{Error, InstanceRecord, Presence, Result};

/// How many documents come in one answer, if they fit.
const BATCH: usize = 1_000;

impl MongoInner {
    /// One command; a second one for an instance that is new, which cleans up after others.
    pub(super) async fn announce(&self, presence: &Presence, ttl: i64) -> Result<()> {
        let said = serde_json::to_string(presence)
            .map_err(|e| Error::invalid("the instance is no JSON").with_source(e))?;
        if self.put(presence.holder.instance, &said, ttl).await? {
            // It is known already, so this may fail. Whoever is new next does it then.
            if let Err(error) = self.delete_expired().await {
                tracing::debug!(%error, store = self.label, "instances that are over stay on record");
            }
        }
        Ok(())
    }

    /// Whether it was not there before.
    async fn put(&self, instance: Uuid, said: &str, ttl: i64) -> Result<bool> {
        let filter = pipeline::instance(instance);
        let change = pipeline::announce(said, ttl);
        for tries in 1..=TRIES {
            let (filter, change) = (filter.clone(), change.clone());
            let before = self.run(Some(PermitKind::Holder), |at| async move {
                at.instances
                    .find_one_and_update(filter, change)
                    .upsert(true)
                    .return_document(ReturnDocument::Before)
                    .projection(doc! { "_id": 1 })
                    .max_time(COMMAND_LIMIT)
                    .await
            });
            let before = before.await?;
            match before {
                Ok(before) => return Ok(before.is_none()),
                // Two upserts at once: the other's document is there now.
                Err(cause) if error::is_conflict(&cause) && tries < TRIES => {}
                Err(cause) => return Err(error::writing(cause)),
            }
            sleep(Duration::from_millis(fastrand::u64(0..=tries))).await;
        }
        Err(self.contradiction())
    }

    async fn delete_expired(&self) -> Result<()> {
        let limit = i64::try_from(COMMAND_LIMIT.as_millis()).unwrap_or(i64::MAX);
        let command = doc! {
            "delete": &self.clients.names().instances,
            "deletes": [{ "q": pipeline::is_expired(), "limit": 0 }],
            "maxTimeMS": limit,
        };
        let deleted = self.run(Some(PermitKind::Holder), |at| async move {
            at.database.run_command(command).await
        });
        deleted.await?.map(drop).map_err(error::writing)
    }

    pub(super) async fn withdraw(&self, instance: Uuid) -> Result<()> {
        let filter = pipeline::instance(instance);
        let deleted = self.run(Some(PermitKind::Holder), |at| async move {
            let delete = at.instances.find_one_and_delete(filter).projection(doc! { "_id": 1 });
            delete.max_time(COMMAND_LIMIT).await
        });
        deleted.await?.map(drop).map_err(error::writing)
    }

    pub(super) async fn known(&self) -> Result<Vec<InstanceRecord>> {
        let found = self.read_instances(pipeline::known_instances(), BATCH).await?;
        let mut known: Vec<_> = found.iter().filter_map(|it| self.instance(it)).collect();
        known.sort_by_key(|record| record.presence.holder.instance);
        Ok(known)
    }

    /// A damaged document must not hide the other instances.
    fn instance(&self, document: &Document) -> Option<InstanceRecord> {
        let read = record::instance(document, &self.clients.names().instances);
        let damaged = |error: &Error| {
            let error = error.clone().during("instances").on_store(&self.label);
            tracing::error!(%error, "an instance cannot be shown");
        };
        read.inspect_err(damaged).ok()
    }
}
