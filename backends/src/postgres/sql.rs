//! The statements are made once per store, because the table's name is part of them.
//!
//! # Which clock is read, and when
//!
//! `now()` is the time when the transaction began, and a statement may wait for a row after that.
//! So [`CLOCK`] is `clock_timestamp()`, read when the row is already locked:
//!
//! * `ON CONFLICT DO UPDATE` locks the newest version of the row first, and only then evaluates its
//!   `WHERE` and `SET`.
//! * A plain `UPDATE … WHERE` evaluates its condition *before* it waits, and again afterwards only
//!   if the row was changed during the wait: not if the transaction that had the lock rolled back.
//!   So renewals lock the rows in a CTE that does not read the clock, and compare its rows with the
//!   clock afterwards, since a lease must not be extended once it has expired. A CTE that locks rows
//!   is never merged into the rest of its statement.
//!
//! A CTE and an upsert take the server longer than a plain update. The two statements of a lock for
//! which nobody waits are plain updates, by a clock that is read before the wait: it can
//! only make a grant end sooner, and a release end a lease that expired during the wait, when nobody
//! else had got the name.
//!
//! What is only read (a name that is held or disabled) comes from the statement's snapshot: it was
//! true at a moment within the call. Where the snapshot contradicts what the write found, since the
//! row changed in between, the caller repeats the statement.
//!
//! Conditions are written so that a NULL where none belongs makes them unknown, and the row is then
//! looked at and reported, not overwritten. Times are not subtracted here: a damaged one would be
//! out of range, and fail all of its batch.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::asynchronous::asynchronous;
use super::clock::CLOCK;
use super::notify::{notifying, notifying_asynchronously};
use super::queue_statements::{QueueStatements, columns_of_queue, holding};
use super::tables;
use crate::Namespace;
use crate::sql::prune::condition;
use crate::sql::statement::Parameter::{
    After, Age, By, First, Holder, Instance, Lease, Limit, Name, Presence, Reason, Ttl,
};
use crate::sql::statement::{InstanceStatements, Statement, Statements};

/// [`row`](crate::sql::row) reads these columns of the table `l`.
const COLUMNS: &str = "l.name, l.token, l.lease::text AS lease, l.holder, l.expires_at, \
     l.granted_at, l.ending, l.disabled_reason, l.disabled_by, l.disabled_at";

/// These are the names of the columns of a row with a queue.
const NAMES: &str = "name, token, lease, holder, expires_at, granted_at, ending, disabled_reason, \
     disabled_by, disabled_at, kind, queue";

/// These are the statements on one namespace's tables.
pub(super) struct Sql {
    /// Notifications have this channel, whose name is also safe in SQL.
    pub(super) channel: String,

    /// A grant and a disablement return `done` and the row, new or standing. An announcement
    /// returns whether it is new, and the others return a row if they did their work.
    pub(super) statements: Statements,
    /// The names, leases and ttls are bound; this returns the positions of those in force, counted
    /// from 1, with the reason and `expires_at` of those that are to end. A row has all leases of
    /// the same outcome, so there is mostly one row.
    pub(super) renew: SqlStr,
    /// The names and leases are bound; this ends those in force, and returns their name and lease.
    pub(super) release_many: Statement,
    /// Selects the rows of the next unused names.
    pub(super) unused: Statement,
    /// The names, tokens and the age are bound; this removes those that are unused and returns
    /// their names.
    pub(super) remove: SqlStr,
    /// The names are bound; this returns name, lease and `disabled` of those that have a row, and the
    /// leases that hold the lock of a name with a queue.
    pub(super) poll: SqlStr,
    /// These are the statements on queues, if the table has their columns.
    pub(super) queue: Option<QueueStatements>,
    /// Adds the columns of queues to the table.
    pub(super) add_columns: String,
}

impl Sql {
    /// Creates the statements for the tables with those qualified names. `queue` says whether the
    /// table of locks has the columns of queues.
    pub(super) fn new(
        namespace: &Namespace,
        table: String,
        instances: String,
        queue: bool,
    ) -> Self {
        // The channel does not contain the schema, as in earlier versions. At worst that causes a
        // superfluous hint.
        let channel = format!("{namespace}_locks");
        let statement = |text: String| AssertSqlSafe(text).into_sql_str();
        let standing = format!("SELECT {COLUMNS}, {CLOCK} AS clock FROM {table} AS l");
        // What grants, renews or ends a lease is the same whether or not there are queues.
        let columns =
            if queue { format!("{COLUMNS}{}", columns_of_queue()) } else { COLUMNS.to_owned() };
        let shown = format!("SELECT {columns}, {CLOCK} AS clock FROM {table} AS l");
        Self {
            // Rows are locked in the order of names, so that two batches cannot wait for each other.
            renew: statement(format!(
                "WITH held AS ( \
                     SELECT l.name, a.ttl, a.position, l.expires_at, \
                         coalesce(l.ending, l.disabled_reason) AS reason \
                     FROM {table} AS l, \
                         unnest($1::text[], $2::uuid[], $3::bigint[]) \
                             WITH ORDINALITY AS a (name, lease, ttl, position) \
                     WHERE l.name = a.name AND l.lease = a.lease \
                     ORDER BY l.name FOR NO KEY UPDATE OF l), \
                 renewed AS ( \
                     UPDATE {table} AS l SET expires_at = CASE \
                         WHEN h.reason IS NULL THEN {CLOCK} + h.ttl ELSE h.expires_at END \
                     FROM held AS h WHERE l.name = h.name AND h.expires_at > {CLOCK} \
                     RETURNING h.position, h.reason, \
                         CASE WHEN h.reason IS NOT NULL THEN l.expires_at END AS expires_at) \
                 SELECT array_agg(position) AS positions, reason, expires_at, {CLOCK} AS clock \
                 FROM renewed GROUP BY reason, expires_at"
            )),
            release_many: notifying_asynchronously(&channel, &[], |notify| {
                format!(
                    "WITH held AS ( \
                         SELECT l.name, l.lease::text AS lease, l.expires_at FROM {table} AS l, \
                             unnest($1::text[], $2::uuid[]) AS a (name, lease) \
                         WHERE l.name = a.name AND l.lease = a.lease \
                         ORDER BY l.name FOR NO KEY UPDATE OF l) \
                     UPDATE {table} AS l SET lease = NULL, holder = NULL, expires_at = NULL, \
                         granted_at = NULL, ending = NULL \
                     FROM held AS h WHERE l.name = h.name AND h.expires_at > {CLOCK} \
                     RETURNING l.name, h.lease, {notify}"
                )
            }),
            unused: Statement::new(
                format!(
                    "{standing} WHERE ($1::text IS NULL OR l.name > $1) AND {} \
                         ORDER BY l.name LIMIT $3",
                    condition(CLOCK, "$2")
                ),
                &[After, Age, Limit],
            ),
            remove: statement(format!(
                "DELETE FROM {table} AS l \
                     USING unnest($1::text[], $2::bigint[]) AS a (name, token) \
                 WHERE l.name = a.name AND l.token = a.token AND {} RETURNING l.name",
                condition(CLOCK, "$3")
            )),
            poll: statement(format!(
                "SELECT l.name, l.lease::text AS lease, l.disabled_reason IS NOT NULL AS disabled, \
                     {} AS holding FROM {table} AS l WHERE l.name = ANY($1::text[])",
                holding(queue)
            )),
            queue: queue.then(|| QueueStatements::new(&table, &channel, &columns, NAMES)),
            add_columns: tables::add_columns(&table),
            statements: Statements {
                // A name that is seen to be held or disabled is not even locked: candidates that
                // look again and again write nothing and wait for nobody.
                acquire: Statement::new(
                    format!(
                        "WITH standing AS ({standing} WHERE l.name = $1), \
                         done AS ( \
                             INSERT INTO {table} AS l \
                                 (name, token, lease, holder, expires_at, granted_at) \
                             SELECT $1, {CLOCK}, $2::uuid, $3, {CLOCK} + $4, {CLOCK} \
                             WHERE NOT EXISTS (SELECT FROM standing AS s \
                                 WHERE s.disabled_reason IS NOT NULL \
                                     OR s.lease IS NOT NULL AND s.expires_at > s.clock) \
                             ON CONFLICT (name) DO UPDATE SET \
                                 token = greatest(l.token + 1, {CLOCK}), lease = excluded.lease, \
                                 holder = excluded.holder, expires_at = {CLOCK} + $4, \
                                 granted_at = {CLOCK}, ending = NULL \
                             WHERE l.disabled_reason IS NULL \
                                 AND (l.lease IS NULL OR l.expires_at <= {CLOCK}) \
                             RETURNING {COLUMNS}, {CLOCK} AS clock) \
                         SELECT true AS done, done.* FROM done \
                         UNION ALL SELECT false, s.* FROM standing AS s \
                         WHERE NOT EXISTS (SELECT FROM done)"
                    ),
                    &[Name, Lease, Holder, Ttl],
                ),
                acquire_free: Statement::new(
                    format!(
                        "UPDATE {table} AS l SET \
                             token = greatest(l.token + 1, {CLOCK}), lease = $2::uuid, holder = $3, \
                             expires_at = {CLOCK} + $4, granted_at = {CLOCK}, ending = NULL \
                         WHERE l.name = $1 AND l.disabled_reason IS NULL \
                             AND (l.lease IS NULL OR l.expires_at <= {CLOCK}) \
                         RETURNING l.token"
                    ),
                    &[Name, Lease, Holder, Ttl],
                ),
                release: notifying_asynchronously(&channel, &[Name, Lease], |notify| {
                    format!(
                        "UPDATE {table} AS l SET lease = NULL, holder = NULL, expires_at = NULL, \
                             granted_at = NULL, ending = NULL \
                         WHERE l.name = $1 AND l.lease = $2::uuid AND l.expires_at > {CLOCK} \
                         RETURNING {notify}"
                    )
                }),
                // A lease that is over is marked too, which nobody sees: the next grant clears it.
                disable: notifying(&channel, &[Name, Reason, By], |notify| {
                    format!(
                        "WITH done AS ( \
                             INSERT INTO {table} AS l \
                                 (name, token, disabled_reason, disabled_by, disabled_at) \
                             VALUES ($1, 0, $2, $3, {CLOCK}) \
                             ON CONFLICT (name) DO UPDATE SET disabled_reason = $2, \
                                 disabled_by = $3, disabled_at = {CLOCK}, \
                                 ending = CASE WHEN l.lease IS NOT NULL THEN $2 END \
                             WHERE l.disabled_reason IS NULL \
                             RETURNING {notify}, {COLUMNS}, {CLOCK} AS clock), \
                         standing AS ({standing} WHERE l.name = $1) \
                         SELECT true AS done, done.* FROM done \
                         UNION ALL SELECT false, NULL, s.* FROM standing AS s \
                         WHERE NOT EXISTS (SELECT FROM done)"
                    )
                }),
                enable: notifying(&channel, &[Name], |notify| {
                    format!(
                        "UPDATE {table} AS l SET disabled_reason = NULL, disabled_by = NULL, \
                             disabled_at = NULL \
                         WHERE l.name = $1 AND l.disabled_reason IS NOT NULL RETURNING {notify}"
                    )
                }),
                find: Statement::new(format!("{shown} WHERE l.name = $1"), &[Name]),
                list: Statement::new(
                    format!(
                        "{shown} WHERE l.name >= $1 AND l.name IS DISTINCT FROM $2 \
                         ORDER BY l.name LIMIT $3"
                    ),
                    &[First, After, Limit],
                ),
                instances: instance_statements(instances),
                table,
            },
            channel,
        }
    }
}

fn instance_statements(table: String) -> InstanceStatements {
    InstanceStatements {
        announce: asynchronous(&[Instance, Presence, Ttl], |commit| {
            format!(
                "INSERT INTO {table} AS i (instance, presence, expires_at) \
                 VALUES ($1::uuid, $2, {CLOCK} + $3) ON CONFLICT (instance) DO UPDATE SET \
                     presence = excluded.presence, expires_at = {CLOCK} + $3 \
                 RETURNING xmax = 0 AS is_new, {commit}"
            )
        }),
        // Rows that another instance has locked are skipped.
        sweep: asynchronous(&[Instance], |commit| {
            format!(
                "DELETE FROM {table} WHERE instance IN ( \
                     SELECT instance FROM {table} WHERE expires_at <= {CLOCK} AND instance <> $1::uuid \
                     FOR UPDATE SKIP LOCKED) \
                 RETURNING {commit}"
            )
        }),
        withdraw: asynchronous(&[Instance], |commit| {
            format!("DELETE FROM {table} WHERE instance = $1::uuid RETURNING {commit}")
        }),
        list: Statement::new(
            format!(
                "SELECT instance::text AS instance, presence, expires_at, {CLOCK} AS clock \
                 FROM {table} AS instances ORDER BY instances.instance"
            ),
            &[],
        ),
        table,
    }
}

#[cfg(test)]
mod tests;
