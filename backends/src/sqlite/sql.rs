//! The statements, made once per store, since the table's name is part of them.
//!
//! Parameters are numbered alike wherever they occur in one statement. The condition
//! `boot = :boot AND expires_at > :uptime` is what "in force" means; it is written so that a NULL
//! where none belongs makes it unknown, and the row is then looked at and reported, not overwritten.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::instances;
use crate::{Error, Namespace, Result};

/// What [`row`](super::row) reads.
const COLUMNS: &str = "name, token, lease, holder, boot, expires_at, granted_at, ending, \
     disabled_reason, disabled_by, disabled_at";

/// The statements on one namespace's table.
#[derive(Clone)]
pub(super) struct Sql {
    /// The table's name, safe to put into SQL as it is.
    pub(super) table: String,
    /// The name of its index on `signal`.
    pub(super) index: String,
    pub(super) create_table: String,
    pub(super) create_index: String,

    /// name, lease, holder, boot, uptime, ttl, wall: the token if granted.
    pub(super) acquire: SqlStr,
    /// JSON array of `[name, lease, ttl]`, boot, uptime: name, lease, expires_at, ending of
    /// those in force.
    pub(super) renew: SqlStr,
    /// name, lease, boot, uptime, wall.
    pub(super) release: SqlStr,
    /// name, reason, by, wall, boot, uptime: a row if it was enabled.
    pub(super) disable: SqlStr,
    /// name, wall.
    pub(super) enable: SqlStr,
    /// name: its columns.
    pub(super) find: SqlStr,
    /// first name, a name to leave out or NULL, limit: their columns.
    pub(super) list: SqlStr,
    /// signal: names and signals after it.
    pub(super) signals: SqlStr,
    /// The latest signal.
    pub(super) latest_signal: SqlStr,

    pub(super) instances: instances::Statements,
}

impl Sql {
    pub(super) fn new(namespace: &Namespace) -> Result<Self> {
        let table = format!("{namespace}_locks");
        if table.starts_with("sqlite_") {
            return Err(Error::invalid(format!(
                "the namespace \"{namespace}\" cannot be used with SQLite"
            ))
            .with_fix("SQLite keeps names that start with sqlite_ for itself; take another"));
        }
        let index = format!("{table}_signal");
        // Grows like a token does, so that a watch misses nothing after rows were deleted.
        let signal =
            |wall: &str| format!("max({wall}, coalesce((SELECT max(signal) + 1 FROM {table}), 1))");
        let statement = |text: String| AssertSqlSafe(text).into_sql_str();
        Ok(Self {
            create_table: create_table(&table),
            create_index: format!("CREATE INDEX {index} ON {table} (signal)"),
            acquire: statement(format!(
                "INSERT INTO {table} AS l \
                     (name, token, lease, holder, boot, expires_at, granted_at, signal) \
                 VALUES (?1, max(?7, 1), ?2, ?3, ?4, ?5 + ?6, ?7, 0) \
                 ON CONFLICT (name) DO UPDATE SET \
                     token = max(l.token + 1, ?7), lease = ?2, holder = ?3, boot = ?4, \
                     expires_at = ?5 + ?6, granted_at = ?7, ending = NULL \
                 WHERE l.disabled_reason IS NULL \
                     AND (l.lease IS NULL OR l.boot <> ?4 OR l.expires_at <= ?5) \
                 RETURNING token"
            )),
            renew: statement(format!(
                "UPDATE {table} AS l SET expires_at = \
                     CASE WHEN l.ending IS NULL THEN ?3 + r.ttl ELSE l.expires_at END \
                 FROM (SELECT value ->> 0 AS name, value ->> 1 AS lease, value ->> 2 AS ttl \
                     FROM json_each(?1)) AS r \
                 WHERE l.name = r.name AND l.lease = r.lease \
                     AND l.boot = ?2 AND l.expires_at > ?3 \
                 RETURNING name, lease, expires_at, ending"
            )),
            release: statement(format!(
                "UPDATE {table} SET lease = NULL, holder = NULL, boot = NULL, expires_at = NULL, \
                     granted_at = NULL, ending = NULL, signal = {} \
                 WHERE name = ?1 AND lease = ?2 AND boot = ?3 AND expires_at > ?4",
                signal("?5")
            )),
            disable: statement(format!(
                "INSERT INTO {table} AS l \
                     (name, token, disabled_reason, disabled_by, disabled_at, signal) \
                 VALUES (?1, 0, ?2, ?3, ?4, {}) \
                 ON CONFLICT (name) DO UPDATE SET \
                     disabled_reason = ?2, disabled_by = ?3, disabled_at = ?4, \
                     signal = excluded.signal, ending = CASE \
                         WHEN l.boot = ?5 AND l.expires_at > ?6 THEN ?2 ELSE l.ending END \
                 WHERE l.disabled_reason IS NULL \
                 RETURNING 1",
                signal("?4")
            )),
            enable: statement(format!(
                "UPDATE {table} SET disabled_reason = NULL, disabled_by = NULL, \
                     disabled_at = NULL, signal = {} \
                 WHERE name = ?1 AND disabled_reason IS NOT NULL",
                signal("?2")
            )),
            find: statement(format!("SELECT {COLUMNS} FROM {table} WHERE name = ?1")),
            list: statement(format!(
                "SELECT {COLUMNS} FROM {table} WHERE name >= ?1 AND name IS NOT ?2 \
                 ORDER BY name LIMIT ?3"
            )),
            signals: statement(format!(
                "SELECT name, signal FROM {table} WHERE signal > ?1 ORDER BY signal"
            )),
            latest_signal: statement(format!("SELECT coalesce(max(signal), 0) FROM {table}")),
            instances: instances::Statements::new(namespace),
            table,
            index,
        })
    }

    /// The schema as a script that does nothing where it is in place.
    pub(super) fn script(&self) -> String {
        self.create_if_missing().map(|statement| format!("{statement};\n")).concat()
    }

    /// The statements of [`script`](Self::script).
    pub(super) fn create_if_missing(&self) -> [String; 3] {
        self.objects().map(|(_, create)| {
            let create = create.replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1);
            create.replacen("CREATE INDEX", "CREATE INDEX IF NOT EXISTS", 1)
        })
    }

    /// The tables and the index: the name of each, and the statement that creates it.
    pub(super) fn objects(&self) -> [(&str, &str); 3] {
        [
            (&self.table, &self.create_table),
            (&self.index, &self.create_index),
            (&self.instances.table, &self.instances.create),
        ]
    }
}

/// Without a rowid a lock is one entry of one tree, found by name. No index holds what heartbeats
/// change. Times are in microseconds: `expires_at` since the boot that `boot` names, the others
/// since 1970 and for display only.
fn create_table(table: &str) -> String {
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
    signal INTEGER NOT NULL
) STRICT, WITHOUT ROWID"
    )
}
