//! These statements change queues, and read them.
//!
//! Each change is one statement, which decides about a row once that is locked. Its first assignment
//! stores the clock of the decision in `attempt`, and the others, which come after it from left to
//! right, look at that. So all times in a queue are of the same moment, and an entry that expired
//! while the statement waited for the row is neither counted nor extended.
//!
//! Who holds the lock is computed from the row as it is read after the change. That an entry holds
//! the lock is believed only of a **locking** read, whose clock is read after the row is locked. An
//! ordinary read could show a row from before a renewal that is not yet committed: its entry would
//! seem to have expired, and the next one would seem to hold the lock. That an entry waits is believed
//! of an ordinary read too, since the entries that it shows ahead are live. It waits for no row, and
//! most entries of a long queue wait.
//!
//! # What a statement costs
//!
//! A statement keeps the row locked while it takes the entries apart, and all others of the name wait
//! for that. A server evaluates every column of `JSON_TABLE` for every entry, so each subquery has
//! only those that it uses. One subquery cannot assign several columns: `UPDATE` and
//! `ON DUPLICATE KEY UPDATE` assign one value at a time.
//!
//! While a statement waits for the row, its client may give up. An entry that is made after its ttl
//! would delay the others for nothing, so [`enter`](QueueStatements::enter) does nothing then.
//!
//! `JSON_ARRAYAGG` keeps no promised order, and readers sort the entries by their tokens. On MariaDB
//! its result ends at `group_concat_max_len`, which must be [`MIN_AGGREGATE`] at least. As the
//! argument of a JSON function, MariaDB takes only the result of another one for JSON, so each is
//! nested directly.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::MAX_ENTRIES;
use crate::shell::entries::MARKER;
use crate::sql::statement::Parameter::{Capacity, Holder, Kind, Lease, Name, Ttl, Wait, Weight};
use crate::sql::statement::Statement;

/// On MariaDB `group_concat_max_len` must allow for a full queue. This is its default there.
pub(super) const MIN_AGGREGATE: i64 = 1 << 20;

/// This is text that is bound as bytes, whatever the connection's character set is.
const TEXT: &str = "CONVERT(CAST(? AS BINARY) USING utf8mb4)";

/// This is a column with the whole entry, which may have more than the other columns.
const DOC: &str = "doc JSON PATH '$'";
const LEASE: &str = "l VARCHAR(64) CHARACTER SET utf8mb4 PATH '$.l'";
const TOKEN: &str = "p BIGINT PATH '$.p'";
const WEIGHT: &str = "w BIGINT PATH '$.w'";
const ENTERED_AT: &str = "t BIGINT PATH '$.t'";
const EXPIRES_AT: &str = "x BIGINT PATH '$.x'";
const HOLDER: &str = "h LONGTEXT CHARACTER SET utf8mb4 PATH '$.h'";
const ENDING: &str = "e LONGTEXT CHARACTER SET utf8mb4 PATH '$.e'";

/// [`SOUND`] reads these columns.
const SOUND_COLUMNS: &[&str] = &[LEASE, TOKEN, WEIGHT, ENTERED_AT, EXPIRES_AT, HOLDER];

/// The entries are such that a change loses none of them. Other damage is found when they are read.
const SOUND: &str = "COUNT(*) > 0 AND COUNT(*) = COUNT(DISTINCT q.l) \
     AND COUNT(*) = COUNT(DISTINCT q.p) \
     AND COUNT(*) = SUM(COALESCE(q.p > 0 AND q.w > 0 AND q.t >= 0 AND q.x > 0 \
         AND CHAR_LENGTH(q.l) = 36 AND JSON_VALID(q.h), 0))";

/// These are the statements on the queues of one namespace.
pub(super) struct QueueStatements {
    /// The id in its reply is the token of the entry if that is the only one, and otherwise 0.
    pub(super) enter: Statement,
    /// The id in its reply is 1, or 0 if the statement did nothing.
    pub(super) leave: Statement,
    /// Reads the row of the name, locked.
    pub(super) find_locked: Statement,
    renew: String,
    find_many: String,
}

impl QueueStatements {
    /// `records` selects the columns of a record from the table `l`. `waited` is for how long a
    /// statement has run.
    pub(super) fn new(table: &str, clock: &str, waited: &str, records: &str) -> Self {
        let queue = format!("{table}.queue");
        let entries = |columns: &[&str]| entries(&queue, columns);
        let first_holder =
            format!("(SELECT q.h FROM {} ORDER BY q.p LIMIT 1)", entries(&[TOKEN, HOLDER]));
        let last_end = format!("(SELECT MAX(q.x) FROM {})", entries(&[EXPIRES_AT]));
        let remaining = entries(&[DOC, LEASE, EXPIRES_AT]);
        let renewed = entries(&[DOC, LEASE, EXPIRES_AT, ENDING]);
        let checked = entries_if_json(table, SOUND_COLUMNS);
        let marker = marker();
        Self {
            enter: enter(table, clock, waited, &first_holder),
            leave: Statement::new(
                format!(
                    "UPDATE {table} SET attempt = {clock}, \
                         queue = (SELECT JSON_ARRAYAGG(JSON_SET(q.doc, '$.x', q.x)) \
                             FROM {remaining} \
                             WHERE q.x > {table}.attempt AND CAST(q.l AS BINARY) <> ?), \
                         expires_at = IF(LAST_INSERT_ID(1) = 1, {last_end}, NULL), \
                         holder = {first_holder}, \
                         lease = IF(queue IS NULL, NULL, lease), \
                         granted_at = IF(queue IS NULL, NULL, granted_at), \
                         ending = IF(queue IS NULL, NULL, ending), \
                         kind = IF(queue IS NULL, NULL, kind), \
                         `signal` = {clock} \
                     WHERE name = ? AND lease = {marker} AND expires_at > {clock} \
                         AND (SELECT {SOUND} \
                             AND SUM(q.x > {clock} AND CAST(q.l AS BINARY) = ?) = 1 \
                             FROM {checked})"
                ),
                &[Lease, Name, Lease],
            ),
            find_locked: Statement::new(
                format!("{records} WHERE l.name = ? LOCK IN SHARE MODE"),
                &[Name],
            ),
            // An entry is extended only in the row of its own name.
            renew: format!(
                "UPDATE {table} FORCE INDEX (PRIMARY) SET attempt = {clock}, \
                     queue = COALESCE((SELECT JSON_ARRAYAGG(JSON_SET(q.doc, '$.x', \
                             IF(q.e IS NULL AND r.ttl IS NOT NULL, \
                                 {table}.attempt + r.ttl, q.x))) \
                         FROM {renewed} LEFT JOIN \
                             JSON_TABLE({TEXT}, '$[*]' COLUMNS ( \
                                 name VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[0]', \
                                 lease VARCHAR(36) CHARACTER SET utf8mb4 PATH '$[1]', \
                                 ttl BIGINT PATH '$[2]')) AS r \
                             ON CAST(r.lease AS BINARY) = CAST(q.l AS BINARY) \
                             AND CAST(r.name AS BINARY) = {table}.name \
                         WHERE q.x > {table}.attempt), queue), \
                     expires_at = COALESCE({last_end}, expires_at), \
                     holder = COALESCE({first_holder}, holder) \
                 WHERE lease = {marker} AND expires_at > {clock} AND ending IS NULL \
                     AND disabled_reason IS NULL AND (SELECT {SOUND} FROM {checked}) \
                     AND name IN "
            ),
            find_many: format!("{records} FORCE INDEX (PRIMARY) WHERE l.name IN "),
        }
    }

    /// Extends entries, which are bound as JSON; then this many names are bound. The rows are
    /// locked in the order of their names, as by every other batch.
    pub(super) fn renew(&self, names: usize) -> SqlStr {
        AssertSqlSafe(format!("{}({})", self.renew, placeholders(names))).into_sql_str()
    }

    /// Reads the rows of this many names, as they were last committed.
    pub(super) fn find_many(&self, names: usize) -> SqlStr {
        AssertSqlSafe(format!("{}({})", self.find_many, placeholders(names))).into_sql_str()
    }

    /// Reads the rows of this many names, locked.
    pub(super) fn find_many_locked(&self, names: usize) -> SqlStr {
        let text = format!("{}({}) LOCK IN SHARE MODE", self.find_many, placeholders(names));
        AssertSqlSafe(text).into_sql_str()
    }
}

/// Returns the table `q` of the entries with these columns.
fn entries(queue: &str, columns: &[&str]) -> String {
    format!("JSON_TABLE({queue}, '$[*]' COLUMNS ({})) AS q", columns.join(", "))
}

/// Does the same for a queue that may be damaged. What is not JSON has no entries.
fn entries_if_json(table: &str, columns: &[&str]) -> String {
    entries(&format!("IF(JSON_VALID({table}.queue), {table}.queue, '[]')"), columns)
}

fn enter(table: &str, clock: &str, waited: &str, first_holder: &str) -> Statement {
    let checked = entries_if_json(table, SOUND_COLUMNS);
    let kept = entries_if_json(table, &[DOC, EXPIRES_AT]);
    let marker = marker();
    let entry = |token: &str| {
        format!(
            "JSON_OBJECT('l', {TEXT}, 'p', {token}, 'w', CAST(? AS SIGNED), 'h', {TEXT}, \
             't', attempt, 'x', attempt + CAST(? AS SIGNED))"
        )
    };
    let (first, next) = (entry("attempt"), entry("token"));
    let room = format!(
        "(SELECT {SOUND} AND SUM(q.x > {clock}) < {MAX_ENTRIES} \
             AND SUM(q.x > {clock} AND CAST(q.l AS BINARY) = ?) = 0 \
             AND (? = 1 OR SUM(IF(q.x > {clock}, q.w, 0)) + ? <= ?) AND MAX(q.w) <= ? \
         FROM {checked})"
    );
    // The entries that are live at the time of the decision, each with this change. A row that has no
    // queue may contain the damaged rest of one.
    let live = |change: &str| {
        format!(
            "(SELECT JSON_ARRAYAGG(JSON_SET(q.doc, {change})) FROM {kept} \
             WHERE q.x > {table}.attempt AND {table}.lease = {marker})"
        )
    };
    let (same, ending) = (live("'$.x', q.x"), live(&format!("'$.e', {table}.ending")));
    let token = "GREATEST(token + 1, attempt)";
    let alone = "lease IS NULL OR expires_at <= attempt";
    Statement::new(
        format!(
            "INSERT INTO {table} (name, attempt, token, lease, holder, expires_at, granted_at, \
                 `signal`, kind, queue) \
             VALUES (?, {clock}, LAST_INSERT_ID(attempt), {marker}, ?, \
                 attempt + CAST(? AS SIGNED), attempt, 0, ?, JSON_ARRAY({first})) \
             ON DUPLICATE KEY UPDATE \
                 attempt = IF({waited} < CAST(? AS SIGNED) \
                     AND disabled_reason IS NULL AND (lease IS NULL \
                     OR expires_at <= {clock} \
                     OR (lease = {marker} AND kind = ? AND {room})), {clock}, 0), \
                 token = IF(attempt > 0, \
                     IF(LAST_INSERT_ID(IF({alone}, {token}, 0)) = 0, {token}, {token}), \
                     IF(LAST_INSERT_ID(0) = 0, token, token)), \
                 queue = IF(attempt > 0, JSON_ARRAY_APPEND(\
                     COALESCE(IF(ending IS NULL, {same}, {ending}), JSON_ARRAY()), '$', {next}), \
                     queue), \
                 holder = IF(attempt > 0, {first_holder}, holder), \
                 expires_at = IF(attempt > 0, \
                     GREATEST(IF(lease = {marker}, expires_at, 0), \
                         attempt + CAST(? AS SIGNED)), expires_at), \
                 lease = IF(attempt > 0, {marker}, lease), \
                 granted_at = IF(attempt > 0, attempt, granted_at), \
                 kind = IF(attempt > 0, ?, kind), \
                 ending = IF(attempt > 0, NULL, ending)"
        ),
        &[
            Name, Holder, Ttl, Kind, Lease, Weight, Holder, Ttl, Ttl, Kind, Lease, Wait, Weight,
            Capacity, Capacity, Lease, Weight, Holder, Ttl, Ttl, Kind,
        ],
    )
}

/// Returns the lease of a row with a queue as bytes, whatever the connection's character set is.
fn marker() -> String {
    format!("_binary'{MARKER}'")
}

/// Returns how many names are bound for that many: one of few numbers, so that a connection prepares
/// few statements. The last name is bound again for those that are left.
pub(super) fn padded(names: usize) -> usize {
    names.next_power_of_two()
}

fn placeholders(names: usize) -> String {
    vec!["?"; padded(names)].join(", ")
}

/// Returns the columns `kind` and `queue` of the table `l`, to be selected after others. They are
/// read only from a row that has a queue now, since an exclusive lock leaves the earlier queue of its
/// name there.
pub(super) fn columns_of_queue(exist: bool) -> String {
    if !exist {
        return String::new();
    }
    let marker = marker();
    format!(
        ", IF(l.lease = {marker}, l.kind, NULL) AS kind, \
         IF(l.lease = {marker}, CAST(l.queue AS BINARY), NULL) AS queue"
    )
}

/// Returns the expression that is 1 in a row with a queue, which may have expired, and otherwise 0.
pub(super) fn has_queue(exist: bool) -> String {
    if exist { format!("lease <=> {}", marker()) } else { "0".to_owned() }
}

#[cfg(test)]
mod tests;
