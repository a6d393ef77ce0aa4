//! These statements change queues, and read them.
//!
//! Each is one statement, and decides about a row once that is locked, by a clock that it reads
//! after that. So an entry that expired while the statement waited for the row is neither counted
//! nor extended.
//!
//! * **enter** is an upsert: `ON CONFLICT DO UPDATE` locks the newest version of the row, and only
//!   then evaluates the query that computes the new queue.
//! * **leave** and **renew** must create no row. They lock rows in a CTE, which returns the newest
//!   versions, and compute the new queue of each from that. The query that reads the clock depends on
//!   the locked row, or the server could evaluate it first.
//!
//! A subquery with a volatile function is not merged into the rest of its statement, so its clock is
//! read once for each row.
//!
//! Who holds the lock is computed only from rows that the statement has locked, by a clock that is
//! read after that. An ordinary read could show a row from before a renewal that is not yet
//! committed: its entry would seem to have expired, and the next one would seem to hold the lock.
//! What such a read shows can only refuse an attempt.
//!
//! No damaged queue makes a statement fail, since it could be that of another name in the batch:
//! [`entries`] reads what is not as expected as NULL.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::clock::CLOCK;
use super::notify::notifying_about;
use crate::MAX_ENTRIES;
use crate::shell::entries::MARKER;
use crate::shell::hint_text::MAX_LEASES;
use crate::sql::statement::Parameter::{Capacity, Holder, Kind, Lease, Name, Ttl, Wait, Weight};
use crate::sql::statement::Statement;
use crate::{LockKind, LockName};

/// These are the statements on the queues of one namespace.
pub(super) struct QueueStatements {
    /// Returns `done` and the row: locked if `done` is true, and otherwise from the snapshot.
    pub(super) enter: Statement,
    /// Returns a row if the entry was live.
    pub(super) leave: Statement,
    /// The names, leases and ttls are bound; this returns the row of each name with a queue, locked.
    pub(super) renew: SqlStr,
}

impl QueueStatements {
    /// `columns` are those of a record, selected from the table `l`, and `names` are their names.
    pub(super) fn new(table: &str, channel: &str, columns: &str, names: &str) -> Self {
        Self {
            enter: enter(table, columns),
            leave: leave(table, channel),
            renew: AssertSqlSafe(renew(table, columns, names)).into_sql_str(),
        }
    }
}

/// Returns the lease of a row with a queue.
fn marker() -> String {
    format!("'{MARKER}'::uuid")
}

/// Returns the entries of a queue as the table `q`, one per row.
fn entries(queue: &str) -> String {
    let number = |field: &str| {
        format!(
            "CASE WHEN (i.e -> '{field}')::text ~ '^[0-9]{{1,18}}$' \
                 THEN (i.e ->> '{field}')::bigint END AS {field}"
        )
    };
    let numbers = ["p", "w", "t", "x"].map(number).join(", ");
    format!(
        "(SELECT i.e, i.e ->> 'l' AS l, {numbers}, \
             CASE WHEN jsonb_typeof(i.e -> 'h') = 'string' THEN i.e ->> 'h' END AS h \
         FROM jsonb_array_elements(CASE WHEN jsonb_typeof({queue}) = 'array' \
             THEN {queue} ELSE '[]'::jsonb END) AS i (e)) AS q"
    )
}

/// Returns the aggregate that is true if the entries are such that a change loses none of them. Other
/// damage is found when they are read.
fn sound(capacity: &str) -> String {
    format!(
        "coalesce(count(*) > 0 AND count(*) = count(DISTINCT q.l) \
             AND count(*) = count(DISTINCT q.p) AND max(q.w) <= {capacity} \
             AND bool_and(coalesce(q.p > 0 AND q.w > 0 AND q.t >= 0 AND q.x >= 0 \
                 AND length(q.l) = 36 AND q.l <> '{MARKER}' AND q.h LIKE '{{%}}', false)), false)"
    )
}

/// Returns the capacity of a kind, and NULL for what is not one.
fn capacity(kind: &str) -> String {
    let (fair, reader_writer) = (LockKind::Fair, LockKind::ReaderWriter);
    format!(
        "CASE WHEN {kind} = '{}' THEN {} WHEN {kind} = '{}' THEN {} \
             WHEN {kind} ~ '^(semaphore|leaders):[1-9][0-9]{{0,9}}$' \
             THEN split_part({kind}, ':', 2)::bigint END",
        fair.code(),
        fair.capacity(),
        reader_writer.code(),
        reader_writer.capacity(),
    )
}

fn enter(table: &str, columns: &str) -> Statement {
    let marker = marker();
    let entry = |token: &str| {
        format!(
            "jsonb_build_object('l', $2::text, 'p', {token}, 'w', $7::bigint, 'h', $3::text, \
             't', n.now, 'x', n.now + $4::bigint)"
        )
    };
    let (first, next) = (entry("n.now"), entry("c.token"));
    let (of_snapshot, of_row) = (entries("s.queue::jsonb"), entries("l.queue"));
    let live = entries(&format!(
        "CASE WHEN l.lease = {marker} AND l.expires_at > n.now AND l.kind = $5 THEN l.queue END"
    ));
    let sound = sound("$6");
    // A name that is seen to be refused is not even locked, as by an acquire. A row of no queue may
    // contain the damaged rest of one.
    Statement::new(
        format!(
            "WITH standing AS ( \
                 SELECT {columns}, {CLOCK} AS clock FROM {table} AS l WHERE l.name = $1), \
             done AS ( \
                 INSERT INTO {table} AS l \
                     (name, token, lease, holder, expires_at, granted_at, kind, queue) \
                 SELECT $1, n.now, {marker}, $3, n.now + $4, n.now, $5, jsonb_build_array({first}) \
                 FROM (SELECT {CLOCK} AS now) AS n \
                 WHERE NOT EXISTS (SELECT FROM standing AS s \
                     WHERE s.disabled_reason IS NOT NULL \
                         OR s.lease IS NOT NULL AND s.expires_at > s.clock \
                             AND (s.kind IS DISTINCT FROM $5 \
                                 OR (SELECT count(*) >= {MAX_ENTRIES} \
                                         OR $8 = 0 AND sum(q.w) + $7 > $6 \
                                     FROM {of_snapshot} WHERE q.x > s.clock \
                                     HAVING NOT bool_or(q.l = $2)))) \
                 ON CONFLICT (name) DO UPDATE SET \
                     (token, lease, holder, expires_at, granted_at, ending, kind, queue) = ( \
                         SELECT CASE WHEN c.adds THEN c.token ELSE l.token END, {marker}, \
                             coalesce(d.holder, $3), \
                             CASE WHEN c.adds THEN greatest(d.last_end, n.now + $4) \
                                 ELSE d.last_end END, \
                             CASE WHEN c.adds THEN n.now ELSE l.granted_at END, \
                             CASE WHEN NOT c.adds THEN l.ending END, $5, \
                             CASE WHEN c.adds THEN \
                                 coalesce(CASE WHEN l.ending IS NULL THEN d.live \
                                     ELSE d.marked END, '[]'::jsonb) || jsonb_build_array({next}) \
                                 ELSE d.live END \
                         FROM (SELECT {CLOCK} AS now) AS n CROSS JOIN LATERAL ( \
                             SELECT count(*) AS entries, coalesce(sum(q.w), 0) AS weight, \
                                 coalesce(bool_or(q.l = $2), false) AS is_known, \
                                 max(q.x) AS last_end, \
                                 (array_agg(q.h ORDER BY q.p))[1] AS holder, \
                                 jsonb_agg(q.e ORDER BY q.p) AS live, \
                                 jsonb_agg(q.e || jsonb_build_object('e', l.ending) ORDER BY q.p) \
                                     AS marked \
                             FROM {live} WHERE q.x > n.now) AS d CROSS JOIN LATERAL ( \
                             SELECT greatest(l.token + 1, n.now) AS token, \
                                 NOT d.is_known AND d.entries < {MAX_ENTRIES} \
                                     AND ($8 = 1 OR d.weight + $7 <= $6) AS adds) AS c) \
                 WHERE l.disabled_reason IS NULL \
                     AND (l.lease IS NULL OR l.expires_at <= {CLOCK} \
                         OR l.lease = {marker} AND l.kind = $5 AND l.expires_at IS NOT NULL \
                             AND (SELECT {sound} FROM {of_row})) \
                 RETURNING {columns}, {CLOCK} AS clock) \
             SELECT true AS done, done.* FROM done \
             UNION ALL SELECT false, s.* FROM standing AS s WHERE NOT EXISTS (SELECT FROM done)"
        ),
        &[Name, Lease, Holder, Ttl, Kind, Capacity, Weight, Wait],
    )
}

/// Returns the query for the time of the decision about the row `h`, which is locked already.
fn clock_after_lock() -> String {
    format!("(SELECT CASE WHEN h.expires_at IS NOT NULL THEN {CLOCK} END AS now) AS n")
}

/// The hint names the entries that hold the lock now and did not before.
fn leave(table: &str, channel: &str) -> Statement {
    let (marker, clock, found) = (marker(), clock_after_lock(), entries("h.queue"));
    let (capacity, sound) = (capacity("h.kind"), sound("k.capacity"));
    let longer_than_a_name = LockName::MAX_BYTES + 1;
    notifying_about("c.hint", channel, &[Name, Lease], |notify| {
        format!(
            "WITH held AS ( \
                 SELECT l.name, l.kind, l.queue, l.expires_at FROM {table} AS l \
                 WHERE l.name = $1 AND l.lease = {marker} FOR NO KEY UPDATE), \
             changed AS ( \
                 SELECT h.name, d.queue, d.last_end, d.holder, \
                     CASE WHEN d.queue IS NULL OR g.entries > {MAX_LEASES} THEN h.name \
                         WHEN g.entries > 0 THEN lpad(g.leases || chr(10) || h.name, greatest( \
                             {longer_than_a_name}, length(g.leases || chr(10) || h.name))) \
                         END AS hint \
                 FROM held AS h CROSS JOIN LATERAL {clock} \
                     CROSS JOIN LATERAL (SELECT {capacity} AS capacity) AS k \
                     CROSS JOIN LATERAL ( \
                         SELECT {sound} AS is_sound, \
                             bool_or(q.l = $2 AND q.x > n.now) AS is_live, \
                             jsonb_agg(q.e ORDER BY q.p) \
                                 FILTER (WHERE q.x > n.now AND q.l <> $2) AS queue, \
                             max(q.x) FILTER (WHERE q.l <> $2) AS last_end, \
                             (array_agg(q.h ORDER BY q.p) \
                                 FILTER (WHERE q.x > n.now AND q.l <> $2))[1] AS holder \
                         FROM {found}) AS d \
                     CROSS JOIN LATERAL ( \
                         SELECT string_agg(r.l, ',' ORDER BY r.p) AS leases, count(*) AS entries \
                         FROM (SELECT q.l, q.p, sum(q.w) OVER (ORDER BY q.p) AS before, \
                                 sum(CASE WHEN q.l = $2 THEN 0 ELSE q.w END) OVER (ORDER BY q.p) \
                                     AS after \
                             FROM {found} WHERE q.x > n.now) AS r \
                         WHERE r.l <> $2 AND r.after <= k.capacity AND r.before > k.capacity) AS g \
                 WHERE h.expires_at > n.now AND d.is_sound AND d.is_live) \
             UPDATE {table} AS l SET queue = c.queue, holder = c.holder, \
                 expires_at = CASE WHEN c.queue IS NOT NULL THEN c.last_end END, \
                 lease = CASE WHEN c.queue IS NOT NULL THEN l.lease END, \
                 granted_at = CASE WHEN c.queue IS NOT NULL THEN l.granted_at END, \
                 ending = CASE WHEN c.queue IS NOT NULL THEN l.ending END, \
                 kind = CASE WHEN c.queue IS NOT NULL THEN l.kind END \
             FROM changed AS c WHERE l.name = c.name RETURNING {notify}"
        )
    })
}

/// Rows are locked in the order of names, as by every other batch. A row whose entries are not
/// extended is returned as it is.
fn renew(table: &str, columns: &str, names: &str) -> String {
    let (marker, clock, found) = (marker(), clock_after_lock(), entries("h.entries"));
    let (capacity, sound) = (capacity("h.kind"), sound("k.capacity"));
    format!(
        "WITH held AS ( \
             SELECT {columns}, l.queue AS entries, a.ttls FROM {table} AS l, ( \
                 SELECT b.name, jsonb_object_agg(b.lease::text, b.ttl) AS ttls \
                 FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS b (name, lease, ttl) \
                 GROUP BY b.name) AS a \
             WHERE l.name = a.name AND l.lease = {marker} \
             ORDER BY l.name FOR NO KEY UPDATE OF l), \
         changed AS ( \
             SELECT h.name, d.queue, d.last_end, d.holder \
             FROM held AS h CROSS JOIN LATERAL {clock} \
                 CROSS JOIN LATERAL (SELECT {capacity} AS capacity) AS k \
                 CROSS JOIN LATERAL ( \
                     SELECT {sound} AS is_sound, \
                         count(u.until) FILTER (WHERE q.x > n.now) AS extended, \
                         jsonb_agg(CASE WHEN u.until IS NULL THEN q.e \
                             ELSE jsonb_set(q.e, '{{x}}', to_jsonb(u.until)) END ORDER BY q.p) \
                             FILTER (WHERE q.x > n.now) AS queue, \
                         max(coalesce(u.until, q.x)) FILTER (WHERE q.x > n.now) AS last_end, \
                         (array_agg(q.h ORDER BY q.p) FILTER (WHERE q.x > n.now))[1] AS holder \
                     FROM {found} CROSS JOIN LATERAL ( \
                         SELECT CASE WHEN q.e ->> 'e' IS NULL \
                             THEN n.now + (h.ttls ->> q.l)::bigint END AS until) AS u) AS d \
             WHERE h.expires_at > n.now AND h.ending IS NULL AND h.disabled_reason IS NULL \
                 AND d.is_sound AND d.extended > 0), \
         renewed AS ( \
             UPDATE {table} AS l SET queue = c.queue, holder = c.holder, expires_at = c.last_end \
             FROM changed AS c WHERE l.name = c.name RETURNING {columns}, {CLOCK} AS clock) \
         SELECT {names}, clock FROM renewed \
         UNION ALL SELECT {names}, {CLOCK} AS clock FROM held AS h \
         WHERE NOT EXISTS (SELECT FROM renewed AS r WHERE r.name = h.name)"
    )
}

/// Returns the leases that hold the lock of the row `l`, as text, for watches that poll.
pub(super) fn holding(exist: bool) -> String {
    if !exist {
        return "NULL::text".to_owned();
    }
    let (marker, entries, capacity) = (marker(), entries("l.queue"), capacity("l.kind"));
    format!(
        "CASE WHEN l.lease = {marker} THEN ( \
             SELECT string_agg(r.l, ',' ORDER BY r.p) \
             FROM (SELECT q.l, q.p, sum(q.w) OVER (ORDER BY q.p) AS used \
                 FROM {entries} WHERE q.x > {CLOCK}) AS r \
             WHERE r.used <= {capacity}) END"
    )
}

/// Returns the columns `kind` and `queue` of the table `l`, to be selected after others. They are
/// read only from a row that has a queue now, since an exclusive lock leaves the earlier queue of its
/// name there.
pub(super) fn columns_of_queue() -> String {
    let marker = marker();
    format!(
        ", CASE WHEN l.lease = {marker} THEN l.kind END AS kind, \
         CASE WHEN l.lease = {marker} THEN l.queue::text END AS queue"
    )
}

#[cfg(test)]
mod tests;
