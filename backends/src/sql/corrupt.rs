//! A row is corrupt if Leasehold did not write it.

use crate::{Error, ErrorKind};

/// This says why a row cannot be read, without the name of the table.
pub(crate) struct CorruptRecord(pub(crate) Error);

impl CorruptRecord {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(Error::new(ErrorKind::Corrupt, message))
    }

    pub(crate) fn into_error(self, table: &str) -> Error {
        Error::new(ErrorKind::Corrupt, format!("the table {table:?} has a corrupt row"))
            .with_source(self.0)
            .with_fix("repair or delete it; fencing tokens keep growing")
    }
}

impl From<Error> for CorruptRecord {
    fn from(error: Error) -> Self {
        Self(error)
    }
}
