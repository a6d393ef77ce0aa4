//! A namespace has these tables.

use crate::sql::schema::{Column, VERSION};

const TEXT: &str = "longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// Returns the name of a table with its database, quoted.
pub(super) fn qualified(database: &str, table: &str) -> String {
    format!("`{}`.`{table}`", database.replace('`', "``"))
}

/// Names compare byte for byte, as bytes do. No index holds what heartbeats change. Times are
/// microseconds since 1970 by the server's clock, the unit of tokens: nothing depends on time zones.
/// [`entries`](crate::shell::entries) says what `kind` and `queue` contain.
pub(super) fn create(table: &str) -> String {
    let (text, add) = (TEXT, add_columns(table));
    format!(
        "-- Where {table} was created without its comment: ALTER TABLE {table} COMMENT = '{VERSION}{SCHEMA}'
-- Where it was created without kind and queue: {add}
CREATE TABLE IF NOT EXISTS {table} (
    name varbinary(255) NOT NULL PRIMARY KEY,
    token bigint NOT NULL,
    lease varbinary(36),
    holder {text},
    expires_at bigint,
    granted_at bigint,
    ending {text},
    disabled_reason {text},
    disabled_by {text},
    disabled_at bigint,
    `signal` bigint NOT NULL,
    attempt bigint,
    kind varbinary(64),
    queue {text},
    KEY {table}_signal (`signal`)
) {OPTIONS}"
    )
}

/// Returns the statement that adds the [`QUEUE_COLUMNS`] to a table that an earlier version created.
/// Both servers do this at once, however many rows there are.
pub(super) fn add_columns(table: &str) -> String {
    format!("ALTER TABLE {table} ADD COLUMN kind varbinary(64), ADD COLUMN queue {TEXT}")
}

pub(super) fn create_instances(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
    instance varbinary(36) NOT NULL PRIMARY KEY,
    presence {TEXT} NOT NULL,
    expires_at bigint NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC"
    )
}

/// This code creates this version of the schema. A table whose comment states none has version 1. The
/// columns `kind` and `queue` were added to it: a program that does not know them may use the table,
/// since it takes a name with a queue for one that is held.
pub(super) const SCHEMA: u32 = 1;

/// The table of locks is created with these options. Its comment applies to the other table too.
const OPTIONS: &str = "ENGINE = InnoDB ROW_FORMAT = DYNAMIC COMMENT = 'leasehold schema 1'";

/// The table of locks has these columns in every version, besides the [`QUEUE_COLUMNS`].
pub(super) const EXPECTED: [Column; 12] = [
    ("name", "varbinary(255)", true),
    ("token", "bigint", true),
    ("lease", "varbinary(36)", false),
    ("holder", "longtext", false),
    ("expires_at", "bigint", false),
    ("granted_at", "bigint", false),
    ("ending", "longtext", false),
    ("disabled_reason", "longtext", false),
    ("disabled_by", "longtext", false),
    ("disabled_at", "bigint", false),
    ("signal", "bigint", true),
    ("attempt", "bigint", false),
];

/// These columns are missing from a table that an earlier version created.
pub(super) const QUEUE_COLUMNS: [Column; 2] =
    [("kind", "varbinary(64)", false), ("queue", "longtext", false)];

/// The table of instances has these columns.
pub(super) const INSTANCE_COLUMNS: [Column; 3] = [
    ("instance", "varbinary(36)", true),
    ("presence", "longtext", true),
    ("expires_at", "bigint", true),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_database_is_quoted() {
        assert_eq!(qualified("app", "leasehold_locks"), "`app`.`leasehold_locks`");
        assert_eq!(qualified("a`; DROP", "t"), "`a``; DROP`.`t`");
    }

    #[test]
    fn the_comment_of_a_table_names_the_schema() {
        assert!(OPTIONS.ends_with(&format!("'{VERSION}{SCHEMA}'")));
    }
}
