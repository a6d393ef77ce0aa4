//! Gives the fuzzer access to the readers of URLs and records, without a server.

use crate::Result;

/// Returns the label of the store that the URL names. It connects to nothing.
pub fn label(url: &str) -> Result<String> {
    (crate::registry::driver(url)?.label)(url)
}

/// Reads rows of PostgreSQL, MySQL and MariaDB. Only their drivers can create such rows, but the
/// code that reads them accepts those of any database.
#[cfg(feature = "sqlite")]
pub mod server_row {
    use sqlx::sqlite::SqliteRow;

    use crate::sql::CorruptRecord;
    use crate::sql::row::{self, Columns, get, has, text_of_bytes};
    use crate::{LockRecord, Result};

    /// Reads the text of a row as bytes.
    struct BytesRow<'r>(&'r SqliteRow);

    impl Columns for BytesRow<'_> {
        fn integer(&self, column: &'static str) -> Result<i64, CorruptRecord> {
            self.0.integer(column)
        }

        fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, CorruptRecord> {
            self.0.optional_integer(column)
        }

        fn text(&self, column: &'static str) -> Result<Option<String>, CorruptRecord> {
            text_of_bytes(self.0, column)
        }

        fn bytes(&self, column: &'static str) -> Result<Vec<u8>, CorruptRecord> {
            get(self.0, column)
        }

        fn has(&self, column: &'static str) -> bool {
            has(self.0, column)
        }
    }

    /// Reads the row, with its text as PostgreSQL returns it.
    pub fn with_text(row: &SqliteRow) -> Result<LockRecord> {
        row::record(row, "t")
    }

    /// Reads the row, with its text as MySQL returns it.
    pub fn with_bytes(row: &SqliteRow) -> Result<LockRecord> {
        row::record(&BytesRow(row), "t")
    }
}

/// Reads etcd's URLs and records.
#[cfg(feature = "etcd")]
pub mod etcd {
    pub use crate::etcd::fuzzing::*;
}

/// Reads MongoDB's URLs and documents.
#[cfg(feature = "mongodb")]
pub mod mongodb {
    pub use crate::mongodb::fuzzing::*;
}

/// Reads Redis's URLs and records.
#[cfg(feature = "redis")]
pub mod redis {
    pub use crate::redis::fuzzing::*;
}
