//! The statements are made once per store, because the table's name is part of them.
//!
//! Parameters are numbered alike wherever they occur in one statement. A lease is in force until
//! its time is over; a lease with another boot id must also not have been set later than now, see
//! [`clock`](super::clock). The conditions are written so that an unexpected NULL makes them
//! unknown; the row is then read and reported, not overwritten.
//!
//! A statement that commits by itself gets the write lock after its values were bound, so the time
//! in them may have passed. Such a statement must be right at a later time too: a lease whose end
//! has come stays over, while a lease that seems to be set later than now may be a new one. A
//! renewal and the first grant of a name need the present time, so they run in a transaction.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::clock::{LONGEST_TTL, TOLERANCE};
use super::instances::instance_statements;
use super::queue_statements::{QueueStatements, columns_of_queue, has_queue};
use super::tables::{
    ADDED_COLUMNS, AddedColumns, COLUMNS_OF_LOCKS, INSTANCE_COLUMNS, SCHEMA, add_column,
    create_instances, create_table,
};
use crate::sql::schema::{Column, VERSION};
use crate::sql::statement::Parameter::{
    After, Boot, By, Holder, Lease, Limit, Name, Prefix, Reason, Ttl, Uptime, Wall,
};
use crate::sql::statement::{Parameter, Statement, Statements};
use crate::{Error, FencingToken, Namespace, Result};

/// [`row`](super::row) reads these columns, besides those that were added to the table later.
const COLUMNS: &str = "name, token, lease, holder, boot, expires_at, granted_at, ending, \
     disabled_reason, disabled_by, disabled_at";

/// A grant binds these values.
const GRANT: [Parameter; 7] = [Name, Lease, Holder, Boot, Uptime, Ttl, Wall];

/// This has the tables of one namespace, and the statements on them.
pub(super) struct Sql {
    /// The index on `signal` has this name.
    index: String,
    create_table: String,
    create_index: String,
    create_instances: String,

    /// A grant returns its token, and a disablement a row. The grant decides by the time when the
    /// transaction got the write lock.
    pub(super) statements: Statements,
    /// A JSON array of `[name, lease, ttl]`, the boot and the uptime are bound; this extends those
    /// in force that are not told to end.
    pub(super) renew: SqlStr,
    /// The values of `renew` are bound in the same transaction; this returns the positions of those
    /// that it did not extend, counted from 0, with the columns of their rows. All columns are NULL
    /// if no row has the name and the lease.
    pub(super) not_renewed: SqlStr,
    /// A name before the first, the limit, the boot, the uptime and the largest token are bound;
    /// this returns the columns of unused names.
    pub(super) unused: SqlStr,
    /// This removes the names, which are bound as a JSON array.
    pub(super) remove: SqlStr,
    /// These are the statements on queues, if the table has their columns.
    pub(super) queue: Option<QueueStatements>,
    /// A signal is bound; this returns the names and signals after it, and whether the row has a
    /// queue.
    pub(super) signals: SqlStr,
    /// This returns the latest signal.
    pub(super) latest_signal: SqlStr,
}

impl Sql {
    pub(super) fn new(namespace: &Namespace) -> Result<Self> {
        Self::of(namespace, AddedColumns::ALL)
    }

    /// Creates the statements for a table that has these of the columns that were added.
    pub(super) fn of(namespace: &Namespace, added: AddedColumns) -> Result<Self> {
        let has_set_at = added.set_at;
        let table = format!("{namespace}_locks");
        if table.starts_with("sqlite_") {
            return Err(Error::invalid(format!(
                "the namespace \"{namespace}\" cannot be used with SQLite"
            ))
            .with_fix("names that start with sqlite_ are reserved; use another namespace"));
        }
        let index = format!("{table}_signal");
        // Grows like a token does, so that a watch misses nothing after rows were deleted.
        let signal =
            |wall: &str| format!("max({wall}, coalesce((SELECT max(signal) + 1 FROM {table}), 1))");
        let statement = |text: String| AssertSqlSafe(text).into_sql_str();
        let (set_at, insert, value) =
            if has_set_at { ("set_at", ", set_at", ", ?5") } else { ("NULL", "", "") };
        let set =
            |time: &str| if has_set_at { format!(", set_at = {time}") } else { String::new() };
        let columns = format!("{COLUMNS}, {set_at} AS set_at{}", columns_of_queue(added.queue));
        let over = |boot: &str, uptime: &str| {
            let latest = format!("{uptime} + {TOLERANCE}");
            format!(
                "(expires_at <= {uptime} OR (boot <> {boot} \
                     AND (expires_at > {latest} + {LONGEST_TTL} \
                         OR coalesce({set_at} > {latest} AND {set_at} <= expires_at, 0))))"
            )
        };
        let in_force =
            |boot: &str, uptime: &str| format!("boot IS NOT NULL AND NOT {}", over(boot, uptime));
        let instances = format!("{namespace}_instances");
        let granted = format!(
            "token = max(token + 1, ?7), lease = ?2, holder = ?3, boot = ?4, \
             expires_at = ?5 + ?6, granted_at = ?7, ending = NULL{}",
            set("?5"),
        );
        let limit = FencingToken::LIMIT;
        let statements = Statements {
            acquire: Statement::new(
                format!(
                    "INSERT INTO {table} \
                         (name, token, lease, holder, boot, expires_at, granted_at, \
                         signal{insert}) \
                     VALUES (?1, max(?7, 1), ?2, ?3, ?4, ?5 + ?6, ?7, 0{value}) \
                     ON CONFLICT (name) DO UPDATE SET {granted} \
                     WHERE disabled_reason IS NULL AND (lease IS NULL OR {}) \
                     RETURNING token",
                    over("?4", "?5"),
                ),
                &GRANT,
            ),
            // This may commit by itself, since it grants no name that has no token yet: that token
            // is taken from the clock alone, and must be larger than those of rows that were pruned.
            // Nor does this grant a name with a lease of an earlier boot, or a token that would be
            // too large.
            acquire_free: Statement::new(
                format!(
                    "UPDATE {table} SET {granted} \
                     WHERE name = ?1 AND disabled_reason IS NULL \
                         AND (lease IS NULL OR expires_at <= ?5) \
                         AND token > 0 AND token < {limit} - 1 AND ?7 < {limit} \
                     RETURNING token"
                ),
                &GRANT,
            ),
            release: Statement::new(
                format!(
                    "UPDATE {table} SET lease = NULL, holder = NULL, boot = NULL, \
                         expires_at = NULL, granted_at = NULL, ending = NULL, signal = {}{} \
                     WHERE name = ?1 AND lease = ?2 AND {}",
                    signal("?5"),
                    set("NULL"),
                    in_force("?3", "?4"),
                ),
                &[Name, Lease, Boot, Uptime, Wall],
            ),
            disable: Statement::new(
                format!(
                    "INSERT INTO {table} \
                         (name, token, disabled_reason, disabled_by, disabled_at, signal) \
                     VALUES (?1, 0, ?2, ?3, ?4, {}) \
                     ON CONFLICT (name) DO UPDATE SET \
                         disabled_reason = ?2, disabled_by = ?3, disabled_at = ?4, \
                         signal = excluded.signal, \
                         ending = CASE WHEN boot IS NOT NULL AND expires_at > ?5 \
                             THEN ?2 ELSE ending END \
                     WHERE disabled_reason IS NULL \
                     RETURNING 1",
                    signal("?4"),
                ),
                &[Name, Reason, By, Wall, Uptime],
            ),
            enable: Statement::new(
                format!(
                    "UPDATE {table} SET disabled_reason = NULL, disabled_by = NULL, \
                         disabled_at = NULL, signal = {} \
                     WHERE name = ?1 AND disabled_reason IS NOT NULL",
                    signal("?2")
                ),
                &[Name, Wall],
            ),
            find: Statement::new(format!("SELECT {columns} FROM {table} WHERE name = ?1"), &[Name]),
            list: Statement::new(
                format!(
                    "SELECT {columns} FROM {table} \
                     WHERE name >= CAST(?3 AS TEXT) AND name > CAST(?1 AS TEXT) \
                     ORDER BY name LIMIT ?2"
                ),
                &[After, Limit, Prefix],
            ),
            instances: instance_statements(instances.clone()),
            table: table.clone(),
        };
        Ok(Self {
            create_table: create_table(&table),
            create_index: format!("CREATE INDEX {index} ON {table} (signal)"),
            create_instances: create_instances(&instances),
            queue: added.queue.then(|| QueueStatements::new(&table, &columns, has_set_at, signal)),
            renew: statement(format!(
                "UPDATE {table} SET boot = ?2, expires_at = ?3 + asked{} \
                 FROM (SELECT value ->> 0 AS lock, value ->> 1 AS id, value ->> 2 AS asked \
                     FROM json_each(?1)) \
                 WHERE name = lock AND lease = id AND ending IS NULL AND {}",
                set("?3"),
                in_force("?2", "?3"),
            )),
            not_renewed: statement(format!(
                "SELECT {columns}, asked.key AS position FROM json_each(?1) AS asked \
                     LEFT JOIN {table} ON name = asked.value ->> 0 AND lease = asked.value ->> 1 \
                 WHERE lease IS NULL OR ending IS NOT NULL OR boot IS NOT ?2 \
                     OR expires_at IS NOT ?3 + (asked.value ->> 2)"
            )),
            unused: statement(format!(
                "SELECT {columns} FROM {table} \
                 WHERE name > CAST(?1 AS TEXT) AND disabled_reason IS NULL \
                     AND (lease IS NULL OR {}) AND token <= ?5 \
                 ORDER BY name LIMIT ?2",
                over("?3", "?4"),
            )),
            remove: statement(format!(
                "DELETE FROM {table} WHERE name IN (SELECT value FROM json_each(?1))"
            )),
            signals: statement(format!(
                "SELECT name, signal, {} AS has_queue FROM {table} \
                 WHERE signal > ?1 ORDER BY signal",
                has_queue(added.queue),
            )),
            latest_signal: statement(format!("SELECT coalesce(max(signal), 0) FROM {table}")),
            statements,
            index,
        })
    }

    /// Returns the schema as a script that does nothing if the schema exists. A comment says how to
    /// add what a table of an earlier version lacks, since SQL has no condition for that.
    pub(super) fn script(&self) -> String {
        let [table, others @ ..] = self.create_if_missing();
        let upgrade = format!(
            "-- This is {VERSION}{SCHEMA}. Where {} is of an earlier version, run once for each column\n\
             -- that it lacks:\n{}",
            self.statements.table,
            ADDED_COLUMNS.map(|column| format!("-- {};\n", self.add_column(column))).concat(),
        );
        let others = others.map(|statement| format!("{statement};\n")).concat();
        format!("{table};\n{upgrade}{others}")
    }

    /// Returns the statement that adds a column which a table of an earlier version lacks.
    pub(super) fn add_column(&self, column: &str) -> String {
        add_column(&self.statements.table, column)
    }

    /// Returns the statements of [`script`](Self::script).
    pub(super) fn create_if_missing(&self) -> [String; 3] {
        self.objects().map(|(_, create)| {
            let create = create.replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1);
            create.replacen("CREATE INDEX", "CREATE INDEX IF NOT EXISTS", 1)
        })
    }

    /// Returns the columns of the table with that name; `None` for another name.
    pub(super) fn columns(&self, name: &str) -> Option<&'static [Column]> {
        if name == self.statements.table {
            Some(&COLUMNS_OF_LOCKS)
        } else {
            (name == self.statements.instances.table).then_some(&INSTANCE_COLUMNS)
        }
    }

    /// Returns the name of each table and of the index, and the statement that creates it.
    pub(super) fn objects(&self) -> [(&str, &str); 3] {
        [
            (&self.statements.table, &self.create_table),
            (&self.index, &self.create_index),
            (&self.statements.instances.table, &self.create_instances),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_placeholder_has_a_value() {
        let sql = Sql::new(&Namespace::default()).unwrap();
        sql.statements.assert_bound('?');
    }
}
