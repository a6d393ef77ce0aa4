//! What only the fuzzer reaches: how URLs and records are read, without a server to read them from.

use crate::Result;

/// The label of the store that the URL names, if it is one. Connects to nothing.
pub fn label(url: &str) -> Result<String> {
    (crate::registry::driver(url)?.label)(url)
}

/// Reads rows of PostgreSQL, MySQL and MariaDB. Only their drivers can create such rows, but the
/// code that reads them accepts those of any database.
#[cfg(feature = "sqlite")]
pub mod server_row {
    use sqlx::sqlite::SqliteRow;

    use crate::sql::CorruptRecord;
    use crate::sql::row::{self, Columns, get, text_of_bytes};
    use crate::{LockRecord, Result};

    /// A row whose text is read as bytes.
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
    }

    /// The row, its text as PostgreSQL gives it.
    pub fn with_text(row: &SqliteRow) -> Result<LockRecord> {
        row::record(row, "t")
    }

    /// The row, its text as MySQL gives it.
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
