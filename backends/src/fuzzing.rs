//! What only the fuzzer reaches: how URLs and records are read, without a server to read them from.

use crate::Result;

/// The label of the store that the URL names, if it is one. Connects to nothing.
pub fn label(url: &str) -> Result<String> {
    (crate::registry::driver(url)?.label)(url)
}

/// Of PostgreSQL, MySQL and MariaDB, whose rows nobody but their drivers can make: what reads them
/// takes any database's.
#[cfg(feature = "sqlite")]
pub mod server_row {
    use sqlx::sqlite::SqliteRow;

    use crate::sql::row;
    use crate::{LockRecord, Result};

    /// The row, its text as PostgreSQL gives it.
    pub fn with_text(row: &SqliteRow) -> Result<LockRecord> {
        row::record(row, "t", row::text)
    }

    /// The row, its text as MySQL gives it.
    pub fn with_bytes(row: &SqliteRow) -> Result<LockRecord> {
        row::record(row, "t", row::text_of_bytes)
    }
}

/// Of etcd.
#[cfg(feature = "etcd")]
pub mod etcd {
    pub use crate::etcd::fuzzing::*;
}

/// Of MongoDB.
#[cfg(feature = "mongodb")]
pub mod mongodb {
    pub use crate::mongodb::fuzzing::*;
}

/// Of Redis.
#[cfg(feature = "redis")]
pub mod redis {
    pub use crate::redis::fuzzing::*;
}
