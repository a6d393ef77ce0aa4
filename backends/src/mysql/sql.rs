//! The statements are made once per store, because the table's name is part of them.
//!
//! # Which clock is read, and when
//!
//! `NOW()` is the time when the statement began, and a statement may wait for a row or a table after
//! that: a renewal that waited would revive a lease that expired in between. `SYSDATE()` is read
//! where it is evaluated, for each row, after the row is locked, but in the session's time zone.
//! So [`CLOCK`] is the statement's beginning in UTC and the time since, which is the difference of
//! two local times; a change of the zone's offset in between is taken out of it: those are multiples
//! of half an hour, and a wait is shorter than a quarter.
//!
//! # How a statement decides, and tells
//!
//! * As each mention of the clock reads it again, a condition on it is evaluated once: where it
//!   holds, the first assignment stores the call's own random number in `attempt`, and the others,
//!   which come after it from left to right, look at that.
//! * `LAST_INSERT_ID(expr)` in an assignment puts a number into the statement's own answer: 0 where
//!   nothing was done. The count of affected rows is not used, since it depends on flags of the
//!   connection.
//!
//! Names are bytes, and so are all arguments: no character set or collation of a connection matters.
//! Nor does `sql_mode`, but for SIMULTANEOUS_ASSIGNMENT, which is refused: there is no `||`, no backslash and no double quote here.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::queue_statements::{QueueStatements, columns_of_queue, has_queue};
use super::tables::{EXPECTED, INSTANCE_COLUMNS, add_columns, create, create_instances, qualified};
use crate::Namespace;
use crate::sql::prune;
use crate::sql::schema::Column;
use crate::sql::statement::Parameter::{
    After, Age, Attempt, By, Holder, Instance, Lease, Limit, Name, Prefix, Presence, Reason, Ttl,
};
use crate::sql::statement::{InstanceStatements, Statement, Statements};

/// This expression reads the server's clock in microseconds since 1970.
const CLOCK: &str = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) \
     + MOD(TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6)) + 8100000000, 1800000000) - 900000000)";

/// This expression is the time since the statement began, in microseconds, as in [`CLOCK`].
const WAITED: &str = "(MOD(TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6)) + 8100000000, \
     1800000000) - 900000000)";

/// [`row`](crate::sql::row) reads these columns of the table `l`, as bytes whatever the
/// connection's character set is, besides those that were added to the table later.
const COLUMNS: &str = "l.name, l.token, l.lease, CAST(l.holder AS BINARY) AS holder, \
     l.expires_at, l.granted_at, CAST(l.ending AS BINARY) AS ending, \
     CAST(l.disabled_reason AS BINARY) AS disabled_reason, \
     CAST(l.disabled_by AS BINARY) AS disabled_by, l.disabled_at";

/// This has the tables of one namespace, and the statements on them.
pub(super) struct Sql {
    /// The table has this name without its database.
    pub(super) name: String,
    /// Creates the table where it is missing.
    create: String,
    /// Adds the columns of queues to the table.
    pub(super) add_columns: String,
    /// The table of instances has this name without its database.
    instances: String,
    /// Creates the table of instances where it is missing.
    create_instances: String,

    /// The id in the reply to a grant is its token, and in that to a disablement, a release or an
    /// enable 1, or 0 if the statement did nothing. An announcement replies [`KNOWN`] unless it is
    /// new.
    pub(super) statements: Statements,
    /// Its id is [`EXTENDED`], [`NOT_EXTENDED`] or 0.
    pub(super) renew: Statement,
    /// The leases are bound as JSON.
    pub(super) renew_batch: SqlStr,
    /// The leases are bound as JSON; this returns the rows of their names.
    pub(super) find_batch: SqlStr,
    /// Selects the rows of the next unused names.
    pub(super) unused: Statement,
    /// This removes unused names; names and tokens are bound as JSON, and then the age.
    pub(super) remove: SqlStr,
    /// Names and tokens are bound as JSON; this returns the names that exist.
    pub(super) find_names: SqlStr,
    /// A time is bound; this returns the clock under an empty name, and the names that were
    /// signalled since then, with the times. The token is that of a grant that was neither released
    /// nor disabled since, or else 0. The last column says whether the row has a queue.
    pub(super) signals: SqlStr,
    /// These are the statements on queues, if the table has their columns.
    pub(super) queue: Option<QueueStatements>,
}

/// A renewal that extended the lease gives this answer.
pub(super) const EXTENDED: u64 = 1;
/// A renewal whose lease is to end gives this answer.
pub(super) const NOT_EXTENDED: u64 = 2;

/// An announcement by an instance that was known gives this answer.
pub(super) const KNOWN: u64 = 1;

impl Sql {
    /// Creates the statements for the tables in that database.
    pub(super) fn new(namespace: &Namespace, database: &str) -> Self {
        Self::of(namespace, database, true)
    }

    /// Does the same for a table that has the columns of queues or not.
    pub(super) fn of(namespace: &Namespace, database: &str, queue: bool) -> Self {
        let (name, instances) = (format!("{namespace}_locks"), format!("{namespace}_instances"));
        let table = qualified(database, &name);
        let statement = |text: String| AssertSqlSafe(text).into_sql_str();
        let unused = prune::condition(CLOCK, "?");
        let columns = format!("{COLUMNS}{}", columns_of_queue(queue));
        let standing = format!("SELECT {columns}, {CLOCK} AS clock FROM {table} AS l");
        let leases = "JSON_TABLE(CONVERT(? USING utf8mb4), '$[*]' COLUMNS ( \
             name VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[0]', \
             lease VARCHAR(36) CHARACTER SET utf8mb4 PATH '$[1]', \
             ttl BIGINT PATH '$[2]')) AS a";
        let tokens = "JSON_TABLE(CONVERT(? USING utf8mb4), '$[*]' COLUMNS ( \
             name VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[0]', \
             token BIGINT PATH '$[1]')) AS a";
        let joined = |list: &str| {
            format!(
                "{list} STRAIGHT_JOIN {table} AS l FORCE INDEX (PRIMARY) \
                 ON l.name = CAST(a.name AS BINARY)"
            )
        };
        let (leases, tokens) = (joined(leases), joined(tokens));
        let statements = Statements {
            acquire: Statement::new(
                format!(
                    "INSERT INTO {table} \
                         (name, token, lease, holder, expires_at, granted_at, `signal`, attempt) \
                     VALUES (?, LAST_INSERT_ID({CLOCK}), ?, ?, {CLOCK} + ?, {CLOCK}, 0, ?) \
                     ON DUPLICATE KEY UPDATE \
                         attempt = IF(disabled_reason IS NULL \
                             AND (lease IS NULL OR expires_at <= {CLOCK}), ?, attempt), \
                         token = IF(attempt = ?, LAST_INSERT_ID(GREATEST(token + 1, {CLOCK})), \
                             IF(LAST_INSERT_ID(0) = 0, token, token)), \
                         lease = IF(attempt = ?, ?, lease), \
                         holder = IF(attempt = ?, ?, holder), \
                         expires_at = IF(attempt = ?, {CLOCK} + ?, expires_at), \
                         granted_at = IF(attempt = ?, {CLOCK}, granted_at), \
                         ending = IF(attempt = ?, NULL, ending)"
                ),
                &[
                    Name, Lease, Holder, Ttl, Attempt, Attempt, Attempt, Attempt, Lease, Attempt,
                    Holder, Attempt, Ttl, Attempt, Attempt,
                ],
            ),
            acquire_free: Statement::new(
                format!(
                    "UPDATE {table} SET token = LAST_INSERT_ID(GREATEST(token + 1, {CLOCK})), \
                         lease = ?, holder = ?, expires_at = {CLOCK} + ?, granted_at = {CLOCK}, \
                         ending = NULL \
                     WHERE name = ? AND disabled_reason IS NULL \
                         AND (lease IS NULL OR expires_at <= {CLOCK})"
                ),
                &[Lease, Holder, Ttl, Name],
            ),
            release: Statement::new(
                format!(
                    "UPDATE {table} SET expires_at = IF(LAST_INSERT_ID(1) = 1, NULL, NULL), \
                         lease = NULL, holder = NULL, granted_at = NULL, ending = NULL, \
                         `signal` = {CLOCK} \
                     WHERE name = ? AND lease = ? AND expires_at > {CLOCK}"
                ),
                &[Name, Lease],
            ),
            // A lease that is over is marked too, which nobody sees: the next grant clears it.
            disable: Statement::new(
                format!(
                    "INSERT INTO {table} \
                         (name, token, disabled_reason, disabled_by, disabled_at, `signal`, \
                         attempt) \
                     VALUES (?, IF(LAST_INSERT_ID(1) = 1, 0, 0), ?, ?, {CLOCK}, {CLOCK}, ?) \
                     ON DUPLICATE KEY UPDATE \
                         attempt = IF(disabled_reason IS NULL, ?, attempt), \
                         token = IF(LAST_INSERT_ID(IF(attempt = ?, 1, 0)) = 1, token, token), \
                         ending = IF(attempt = ?, IF(lease IS NULL, NULL, ?), ending), \
                         disabled_reason = IF(attempt = ?, ?, disabled_reason), \
                         disabled_by = IF(attempt = ?, ?, disabled_by), \
                         disabled_at = IF(attempt = ?, {CLOCK}, disabled_at), \
                         `signal` = IF(attempt = ?, {CLOCK}, `signal`)"
                ),
                &[
                    Name, Reason, By, Attempt, Attempt, Attempt, Attempt, Reason, Attempt, Reason,
                    Attempt, By, Attempt, Attempt,
                ],
            ),
            enable: Statement::new(
                format!(
                    "UPDATE {table} SET disabled_reason = IF(LAST_INSERT_ID(1) = 1, NULL, NULL), \
                         disabled_by = NULL, disabled_at = NULL, `signal` = {CLOCK} \
                     WHERE name = ? AND disabled_reason IS NOT NULL"
                ),
                &[Name],
            ),
            find: Statement::new(format!("{standing} WHERE l.name = ?"), &[Name]),
            list: Statement::new(
                format!("{standing} WHERE l.name >= ? AND l.name > ? ORDER BY l.name LIMIT ?"),
                &[Prefix, After, Limit],
            ),
            instances: instance_statements(qualified(database, &instances)),
            table: table.clone(),
        };
        Self {
            create: create(&name),
            add_columns: add_columns(&table),
            queue: queue.then(|| QueueStatements::new(&table, CLOCK, WAITED, &standing)),
            create_instances: create_instances(&instances),
            renew: Statement::new(
                format!(
                    "UPDATE {table} SET expires_at = IF(COALESCE(ending, disabled_reason) IS NULL, \
                         IF(LAST_INSERT_ID({EXTENDED}) = {EXTENDED}, {CLOCK} + ?, NULL), \
                         IF(LAST_INSERT_ID({NOT_EXTENDED}) = {NOT_EXTENDED}, expires_at, NULL)) \
                     WHERE name = ? AND lease = ? AND expires_at > {CLOCK}"
                ),
                &[Ttl, Name, Lease],
            ),
            // The list is read first and in the order of names, so that two batches take the rows'
            // locks in the same order. Rows that are likely damaged are left to be read and reported.
            renew_batch: statement(format!(
                "UPDATE {leases} \
                 SET l.expires_at = {CLOCK} + a.ttl \
                 WHERE l.lease = CAST(a.lease AS BINARY) AND l.expires_at > {CLOCK} \
                     AND l.ending IS NULL AND l.disabled_reason IS NULL \
                     AND l.token > 0 AND l.granted_at IS NOT NULL AND JSON_VALID(l.holder)"
            )),
            find_batch: statement(format!("SELECT {columns}, {CLOCK} AS clock FROM {leases}")),
            unused: Statement::new(
                format!("{standing} WHERE l.name > ? AND {unused} ORDER BY l.name LIMIT ?"),
                &[After, Age, Limit],
            ),
            remove: statement(format!(
                "DELETE l FROM {tokens} WHERE l.token = a.token AND {unused}"
            )),
            find_names: statement(format!("SELECT l.name FROM {tokens}")),
            signals: statement(format!(
                "SELECT CAST('' AS BINARY) AS name, {CLOCK} AS `signal`, 0 AS token, 0 AS has_queue \
                 UNION ALL SELECT name, `signal`, IF(lease IS NULL OR ending IS NOT NULL \
                     OR disabled_reason IS NOT NULL, 0, token), {} \
                 FROM {table} WHERE `signal` > ?",
                has_queue(queue),
            )),
            statements,
            name,
            instances,
        }
    }

    /// Returns for each table its name, the statement that creates it, and its columns.
    pub(super) fn tables(&self) -> [(&str, &str, &'static [Column]); 2] {
        [
            (self.name.as_str(), self.create.as_str(), &EXPECTED),
            (self.instances.as_str(), self.create_instances.as_str(), &INSTANCE_COLUMNS),
        ]
    }
}

fn instance_statements(table: String) -> InstanceStatements {
    InstanceStatements {
        announce: Statement::new(
            format!(
                "INSERT INTO {table} (instance, presence, expires_at) \
                 VALUES (?, ?, {CLOCK} + ?) ON DUPLICATE KEY UPDATE \
                     presence = IF(LAST_INSERT_ID({KNOWN}) = {KNOWN}, ?, NULL), \
                     expires_at = {CLOCK} + ?"
            ),
            &[Instance, Presence, Ttl, Presence, Ttl],
        ),
        sweep: Statement::new(
            format!("DELETE FROM {table} WHERE expires_at <= {CLOCK} AND instance <> ?"),
            &[Instance],
        ),
        withdraw: Statement::new(format!("DELETE FROM {table} WHERE instance = ?"), &[Instance]),
        list: Statement::new(
            format!(
                "SELECT instance, CAST(presence AS BINARY) AS presence, expires_at, \
                 {CLOCK} AS clock FROM {table} ORDER BY instance"
            ),
            &[],
        ),
        table,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_placeholder_has_a_value() {
        let sql = Sql::new(&Namespace::default(), "d");
        sql.statements.assert_bound('?');
        sql.renew.assert_bound('?');
        sql.unused.assert_bound('?');
    }
}
