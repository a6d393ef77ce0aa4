//! The collections of locks and of instances. The first write creates them; a collection that
//! cannot be used is refused.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::{
    Acknowledgment, CollectionOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Collection, Database};

use super::error_codes;
use crate::common::timeout::CALL_LIMIT;
use crate::{Error, ErrorKind, Namespace, Result};

/// The server may take this long for one command, a little less than a call may take.
pub(super) const COMMAND_LIMIT: Duration = CALL_LIMIT.saturating_sub(Duration::from_secs(2));

/// An upsert that conflicts with others is tried this many times.
pub(super) const UPSERT_TRIES: u64 = 10;

const FIX: &str = "use another namespace, or remove it";

pub(super) fn name(namespace: &Namespace) -> String {
    format!("{namespace}_locks")
}

/// Returns the name of the collection of instances.
pub(super) fn of_instances(namespace: &Namespace) -> String {
    format!("{namespace}_instances")
}

/// Returns a handle of the collection, with the concerns that locks need.
pub(super) fn handle(database: &Database, name: &str) -> Collection<Document> {
    let options = CollectionOptions::builder()
        .write_concern(write_concern())
        // Reads return the latest state, which only the primary has. It may include writes that no
        // majority has, so a read may refuse an attempt, but a grant is never reported from a read.
        .read_concern(ReadConcern::local())
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .build();
    database.collection_with_options(name, options)
}

fn write_concern() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).w_timeout(COMMAND_LIMIT).build()
}

/// Checks what exists under the collection's name, and returns whether the server has change
/// streams.
pub(super) async fn check(database: &Database, collection: &str) -> Result<bool> {
    let hello = database.run_command(doc! { "hello": 1 }).await.map_err(error_codes::reading)?;
    let routed = hello.get_str("msg").is_ok_and(|kind| kind == "isdbgrid");
    let limit = i64::try_from(COMMAND_LIMIT.as_millis()).unwrap_or(i64::MAX);
    let list = doc! {
        "listCollections": 1,
        "filter": { "name": collection },
        "maxTimeMS": limit,
    };
    match database.run_command(list).await {
        Ok(answer) => check_options(collection, &answer)?,
        // The right to list is not needed for anything else.
        Err(cause) if error_codes::is_unauthorized(&cause) => {
            tracing::debug!(collection, "may not read the collection's options");
        }
        Err(cause) => return Err(error_codes::reading(cause)),
    }
    let documents = database.collection::<Document>(collection);
    let any =
        documents.find_one(doc! {}).max_time(COMMAND_LIMIT).await.map_err(error_codes::reading)?;
    if any.is_some_and(|any| !any.contains_key("token") && !any.contains_key("signal")) {
        return Err(foreign(collection, "contains foreign documents"));
    }
    Ok(routed || hello.contains_key("setName"))
}

fn check_options(collection: &str, answer: &Document) -> Result<()> {
    let found = answer
        .get_document("cursor")
        .and_then(|cursor| cursor.get_array("firstBatch"))
        .ok()
        .and_then(|batch| batch.first()?.as_document());
    let Some(found) = found else { return Ok(()) };
    if found.get_str("type").is_ok_and(|kind| kind != "collection") {
        return Err(foreign(collection, "is a view or a time series"));
    }
    let Ok(options) = found.get_document("options") else { return Ok(()) };
    if options.contains_key("collation") {
        return Err(foreign(collection, "has a collation, and could confuse names"));
    }
    if options.get_bool("capped").unwrap_or(false) {
        return Err(foreign(collection, "is capped, which can delete locks"));
    }
    Ok(())
}

fn foreign(collection: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("the collection {collection:?} {what}; it was not changed"),
    )
    .with_fix(FIX)
}
