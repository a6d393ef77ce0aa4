//! This module has helpers that the cases of MongoDB share.

use std::sync::Arc;
use std::time::Duration;

use leasehold::mongodb::MongoStore;
use leasehold_conformance::{CaseResult, Client};
use leasehold_core::{Error, Namespace, Result};
use mongodb::bson::Document;
use mongodb::{Collection, Database};

use crate::mongodb::backend::{MongoDb, options};
use crate::mongodb::endpoint::Endpoint;

pub(super) const TTL: Duration = Duration::from_secs(400);

/// Any call that does not hang takes much less time than this.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn new_namespace() -> Result<Namespace> {
    Namespace::new(format!("own_{:016x}", fastrand::u64(..)))
}

pub(super) fn locks(database: &Database, namespace: &Namespace) -> Collection<Document> {
    database.collection(&format!("{namespace}_locks"))
}

pub(super) async fn open(endpoint: &Endpoint, namespace: &Namespace) -> Result<Client> {
    let store = MongoStore::connect(endpoint.url(), &options(namespace)).await?;
    Ok(Client::new(Arc::new(store)))
}

/// Returns a client of a new namespace on the shared server, and the collection of its documents.
pub(super) async fn new_locks(
    this: &MongoDb,
) -> CaseResult<(Client, Collection<Document>, Namespace)> {
    let (endpoint, namespace) = (this.endpoint().await?, new_namespace()?);
    let client = open(&endpoint, &namespace).await?;
    Ok((client, locks(endpoint.database(), &namespace), namespace))
}

/// Returns the error with all its causes.
pub(super) fn full_message(error: &Error) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    message
}
