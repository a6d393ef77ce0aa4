//! Reads the fields of a document strictly.

use std::fmt::Display;
use std::str::FromStr;

use mongodb::bson::{Bson, Document};

use crate::{Error, ErrorKind, Holder};

/// Returns a 64-bit number, or `None` if the field is missing.
pub(super) fn number(document: &Document, field: &str) -> Result<Option<i64>, CorruptDocument> {
    match document.get(field) {
        None => Ok(None),
        Some(Bson::Int64(number)) => Ok(Some(*number)),
        Some(_) => Err(CorruptDocument::new(format!("{field} is not a 64-bit number"))),
    }
}

/// Returns a value that is stored as text, or `None` if the field is missing.
pub(super) fn text<T: FromStr<Err: Display>>(
    document: &Document,
    field: &str,
) -> Result<Option<T>, CorruptDocument> {
    match document.get(field) {
        None => Ok(None),
        Some(Bson::String(text)) => {
            let parsed = text.parse().map(Some);
            parsed.map_err(|error| CorruptDocument::new(format!("invalid {field}: {error}")))
        }
        Some(_) => Err(CorruptDocument::new(format!("{field} is not text"))),
    }
}

/// Parses a holder, which is stored as JSON in a text.
pub(super) fn holder(json: &str) -> Result<Holder, CorruptDocument> {
    serde_json::from_str(json).map_err(|source| {
        CorruptDocument(Error::new(ErrorKind::Corrupt, "the holder is corrupt").with_source(source))
    })
}

/// The error of a document, before the name of the collection is added.
pub(super) struct CorruptDocument(Error);

impl CorruptDocument {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(Error::new(ErrorKind::Corrupt, message))
    }

    pub(super) fn into_error(self) -> Error {
        self.0
    }

    pub(super) fn in_collection(self, collection: &str) -> Error {
        let message = format!("the collection {collection:?} has a corrupt document");
        Error::new(ErrorKind::Corrupt, message)
            .with_source(self.0)
            .with_fix("repair or delete it; fencing tokens keep growing")
    }
}

impl From<Error> for CorruptDocument {
    fn from(error: Error) -> Self {
        Self(error)
    }
}
