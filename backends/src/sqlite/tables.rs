//! A namespace has these tables.

use crate::sql::schema::{Column, VERSION};

/// This code creates this version of the schema. The first had no column `set_at`, and stated no
/// version. The columns `kind` and `queue` were added to the second: a program that does not know
/// them may use the table, since it takes a name with a queue for one that is held.
pub(super) const SCHEMA: u32 = 2;

/// These columns are missing from a table that an earlier version created.
pub(super) const ADDED_COLUMNS: [&str; 3] = ["set_at", "kind", "queue"];

/// This says which of the columns that were added the table of locks has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AddedColumns {
    pub(super) set_at: bool,
    /// The table has the columns `kind` and `queue`.
    pub(super) queue: bool,
}

impl AddedColumns {
    pub(super) const ALL: Self = Self { set_at: true, queue: true };
}

/// Without a rowid a lock is one entry of one tree, found by name. No index holds what heartbeats
/// change. Times are in microseconds: `expires_at` since the boot that `boot` names, the others
/// since 1970 and for display only; `set_at` is when the lease was granted or last extended, on the
/// clock of `expires_at`. [`entries`](crate::shell::entries) says what `kind` and `queue` contain.
pub(super) fn create_table(table: &str) -> String {
    format!(
        "CREATE TABLE {table} (
    name TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
    token INTEGER NOT NULL,
    lease TEXT,
    holder TEXT,
    boot TEXT,
    expires_at INTEGER,
    granted_at INTEGER,
    ending TEXT,
    disabled_reason TEXT,
    disabled_by TEXT,
    disabled_at INTEGER,
    signal INTEGER NOT NULL,
    set_at INTEGER /* {VERSION}{SCHEMA} */,
    kind TEXT,
    queue TEXT
) STRICT, WITHOUT ROWID"
    )
}

/// Returns the statement that adds one of the [`ADDED_COLUMNS`] to the table.
pub(super) fn add_column(table: &str, column: &str) -> String {
    let definition = match column {
        "set_at" => format!("set_at INTEGER /* {VERSION}{SCHEMA} */"),
        other => format!("{other} TEXT"),
    };
    format!("ALTER TABLE {table} ADD COLUMN {definition}")
}

/// `expires_at` is in microseconds since the boot that `boot` names, like that of a lease.
pub(super) fn create_instances(table: &str) -> String {
    format!(
        "CREATE TABLE {table} (
    instance TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
    presence TEXT NOT NULL,
    boot TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID"
    )
}

/// The table of locks has these columns in every schema.
pub(super) const COLUMNS_OF_LOCKS: [Column; 12] = [
    ("name", "TEXT", true),
    ("token", "INTEGER", true),
    ("lease", "TEXT", false),
    ("holder", "TEXT", false),
    ("boot", "TEXT", false),
    ("expires_at", "INTEGER", false),
    ("granted_at", "INTEGER", false),
    ("ending", "TEXT", false),
    ("disabled_reason", "TEXT", false),
    ("disabled_by", "TEXT", false),
    ("disabled_at", "INTEGER", false),
    ("signal", "INTEGER", true),
];

/// The table of instances has these columns.
pub(super) const INSTANCE_COLUMNS: [Column; 4] = [
    ("instance", "TEXT", true),
    ("presence", "TEXT", true),
    ("boot", "TEXT", true),
    ("expires_at", "INTEGER", true),
];
