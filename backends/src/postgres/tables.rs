//! A namespace has these tables.

use crate::sql::schema::Column;

/// Names compare byte for byte in the collation "C". No index holds what heartbeats change, and
/// pages keep room for the next version of their rows, so that a heartbeat touches no index and
/// leaves nothing for VACUUM. Times are microseconds since 1970 by the server's clock, the unit of
/// tokens, which a damaged value cannot take to infinity; `to_timestamp(expires_at / 1e6)` shows one.
/// [`entries`](crate::shell::entries) says what `kind` and `queue` contain.
pub(super) fn create(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
    name text COLLATE \"C\" NOT NULL PRIMARY KEY,
    token bigint NOT NULL,
    lease uuid,
    holder text,
    expires_at bigint,
    granted_at bigint,
    ending text,
    disabled_reason text,
    disabled_by text,
    disabled_at bigint,
    kind text,
    queue jsonb
) WITH (fillfactor = 50)"
    )
}

/// Returns the statement that adds the [`QUEUE_COLUMNS`] to a table that an earlier version created. It
/// can be repeated, and takes no time for the rows that there are.
pub(super) fn add_columns(table: &str) -> String {
    format!(
        "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS kind text, \
         ADD COLUMN IF NOT EXISTS queue jsonb"
    )
}

pub(super) fn create_instances(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
    instance uuid NOT NULL PRIMARY KEY,
    presence text NOT NULL,
    expires_at bigint NOT NULL
) WITH (fillfactor = 50)"
    )
}

/// The table of locks has these columns in every version, besides the [`QUEUE_COLUMNS`].
pub(super) const EXPECTED: [Column; 10] = [
    ("name", "text", true),
    ("token", "bigint", true),
    ("lease", "uuid", false),
    ("holder", "text", false),
    ("expires_at", "bigint", false),
    ("granted_at", "bigint", false),
    ("ending", "text", false),
    ("disabled_reason", "text", false),
    ("disabled_by", "text", false),
    ("disabled_at", "bigint", false),
];

/// These columns are missing from a table that an earlier version created.
pub(super) const QUEUE_COLUMNS: [Column; 2] = [("kind", "text", false), ("queue", "jsonb", false)];

/// The table of instances has these columns.
pub(super) const INSTANCE_COLUMNS: [Column; 3] =
    [("instance", "uuid", true), ("presence", "text", true), ("expires_at", "bigint", true)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_expected_are_those_created() {
        let created = create("t");
        for (name, kind, _) in EXPECTED.into_iter().chain(QUEUE_COLUMNS) {
            assert!(created.contains(&format!("    {name} {kind}")), "{name}");
        }
        assert_eq!(created.lines().count(), EXPECTED.len() + QUEUE_COLUMNS.len() + 2);
        let added = add_columns("t");
        for (name, kind, _) in QUEUE_COLUMNS {
            assert!(added.contains(&format!("ADD COLUMN IF NOT EXISTS {name} {kind}")), "{added}");
        }
        let created = create_instances("t");
        for (name, kind, filled) in INSTANCE_COLUMNS {
            assert!(created.contains(&format!("    {name} {kind} NOT NULL")) && filled, "{name}");
        }
        assert_eq!(created.lines().count(), INSTANCE_COLUMNS.len() + 2);
    }
}
