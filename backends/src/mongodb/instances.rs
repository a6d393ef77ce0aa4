//! The records of instances: each is a document, in a separate collection.

use std::time::Duration;

use mongodb::bson::doc;
use mongodb::options::ReturnDocument;
use tokio::time::sleep;
use uuid::Uuid;

use super::collection::{COMMAND_LIMIT, UPSERT_TRIES};
use super::commands::Mongo;
use super::permits::PermitKind;
use super::record::millis;
use super::{error_codes, pipeline, record};
use crate::Result;
use crate::shell::StoredInstance;

/// One reply contains this many documents, if they fit.
const BATCH: usize = 1_000;

impl Mongo {
    /// Sends one command, and a second one for a new instance, which deletes expired ones.
    pub(super) async fn put_instance(
        &self,
        instance: Uuid,
        text: &str,
        ttl: Duration,
    ) -> Result<()> {
        if self.put(instance, text, millis(ttl)).await? {
            // The instance is announced, so this may fail. The next new instance tries again.
            if let Err(error) = self.delete_expired().await {
                tracing::debug!(%error, store = self.label, "cannot delete expired instances");
            }
        }
        Ok(())
    }

    /// Returns whether the instance is new.
    async fn put(&self, instance: Uuid, text: &str, ttl: i64) -> Result<bool> {
        let filter = pipeline::instance(instance);
        let change = pipeline::announce(text, ttl);
        for tries in 1..=UPSERT_TRIES {
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
                // Another upsert created the document in the meantime.
                Err(cause) if error_codes::is_conflict(&cause) && tries < UPSERT_TRIES => {}
                Err(cause) => return Err(error_codes::writing(cause)),
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
        deleted.await?.map(drop).map_err(error_codes::writing)
    }

    pub(super) async fn delete_instance(&self, instance: Uuid) -> Result<()> {
        let filter = pipeline::instance(instance);
        let deleted = self.run(Some(PermitKind::Holder), |at| async move {
            let delete = at.instances.find_one_and_delete(filter).projection(doc! { "_id": 1 });
            delete.max_time(COMMAND_LIMIT).await
        });
        deleted.await?.map(drop).map_err(error_codes::writing)
    }

    pub(super) async fn stored_instances(&self) -> Result<Vec<StoredInstance>> {
        let found = self.read_instances(pipeline::known_instances(), BATCH).await?;
        let collection = &self.clients.names().instances;
        Ok(found.iter().map(|document| record::instance(document, collection)).collect())
    }
}
