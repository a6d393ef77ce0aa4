//! These statements read and write queues, in a transaction that decides in between.
//!
//! No condition of theirs depends on the time: the transaction has the write lock, so a row is as it
//! was read until it is written. A statement may be given values that it does not use.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::shell::entries::MARKER;

/// These are the statements on the queues of one namespace.
pub(super) struct QueueStatements {
    /// A JSON array of names is bound; this returns the columns of their rows.
    pub(super) find: SqlStr,
    /// The name, the token, the first holder, the boot, the end of the last entry to expire, the
    /// time since 1970, the kind and the entries are bound, and the time since the boot. This writes
    /// the queue with an entry that was made now.
    pub(super) put: SqlStr,
    /// A JSON array of `[name, first holder, end, entries]`, the boot, the time since the boot and the
    /// time since 1970 are bound. This writes queues in which entries were extended, or which
    /// entries have left.
    pub(super) keep: SqlStr,
    /// This does the same, and signals it to the watches.
    pub(super) keep_and_signal: SqlStr,
}

impl QueueStatements {
    /// `columns` are those of a record. `signal` makes the next signal of the time since 1970.
    pub(super) fn new(
        table: &str,
        columns: &str,
        has_set_at: bool,
        signal: impl Fn(&str) -> String,
    ) -> Self {
        let statement = |text: String| AssertSqlSafe(text).into_sql_str();
        let (insert, value, update) = match has_set_at {
            true => (", set_at", ", ?9", ", set_at = excluded.set_at"),
            false => ("", "", ""),
        };
        let set_at = if has_set_at { ", set_at = ?3" } else { "" };
        let keep = |more: &str| {
            statement(format!(
                "UPDATE {table} SET holder = new_holder, boot = ?2, expires_at = new_end, \
                     queue = new_queue{set_at}{more} \
                 FROM (SELECT value ->> 0 AS lock, value ->> 1 AS new_holder, \
                         value ->> 2 AS new_end, value ->> 3 AS new_queue \
                     FROM json_each(?1)) \
                 WHERE name = lock AND lease = '{MARKER}'"
            ))
        };
        Self {
            find: statement(format!(
                "SELECT {columns} FROM json_each(?1) AS asked JOIN {table} ON name = asked.value"
            )),
            put: statement(format!(
                "INSERT INTO {table} \
                     (name, token, lease, holder, boot, expires_at, granted_at, kind, queue, \
                     signal{insert}) \
                 VALUES (?1, ?2, '{MARKER}', ?3, ?4, ?5, ?6, ?7, ?8, 0{value}) \
                 ON CONFLICT (name) DO UPDATE SET \
                     token = excluded.token, lease = excluded.lease, holder = excluded.holder, \
                     boot = excluded.boot, expires_at = excluded.expires_at, \
                     granted_at = excluded.granted_at, ending = NULL, kind = excluded.kind, \
                     queue = excluded.queue{update}"
            )),
            // An update of `signal` writes the index, also if it stays the same.
            keep: keep(""),
            keep_and_signal: keep(&format!(", signal = {}", signal("?4"))),
        }
    }
}

/// Returns the columns `kind` and `queue`, to be selected after others. They are read only from a
/// row that has a queue now, since an exclusive lock leaves the earlier queue of its name there.
pub(super) fn columns_of_queue(exist: bool) -> String {
    if !exist {
        return String::new();
    }
    let column = |name| format!(", CASE WHEN lease = '{MARKER}' THEN {name} END AS {name}");
    ["kind", "queue"].map(column).concat()
}

/// Returns the expression that is 1 in a row with a queue, which may have expired, and otherwise 0.
pub(super) fn has_queue(exist: bool) -> String {
    if exist { format!("lease IS '{MARKER}'") } else { "0".to_owned() }
}

#[cfg(test)]
mod tests {
    use sqlx::SqlStr;

    use super::super::sql::Sql;
    use super::super::tables::AddedColumns;
    use super::MARKER;
    use crate::Namespace;

    fn sql(queue: bool) -> Sql {
        let added = AddedColumns { queue, ..AddedColumns::ALL };
        Sql::of(&Namespace::default(), added).unwrap()
    }

    /// The cost of an exclusive lock does not depend on whether the table has queues.
    #[test]
    fn queues_change_no_statement_that_grants_renews_or_releases_an_exclusive_lock() {
        let [with, without] = [true, false].map(|queue| {
            let sql = sql(queue);
            let statements = sql.statements;
            [statements.acquire, statements.acquire_free, statements.release, statements.disable]
                .map(|statement| statement.sql)
                .into_iter()
                .chain([sql.renew])
                .map(|sql| sql.as_str().to_owned())
                .collect::<Vec<_>>()
        });
        assert_eq!(with, without);
    }

    #[test]
    fn a_table_without_the_columns_has_no_statement_that_names_them() {
        let sql = sql(false);
        assert!(sql.queue.is_none());
        let statements = [&sql.statements.find.sql, &sql.not_renewed, &sql.unused, &sql.signals];
        for statement in statements.map(SqlStr::as_str) {
            assert!(!statement.contains("kind"), "{statement}");
            assert!(!statement.contains(&MARKER.to_string()), "{statement}");
        }
    }

    /// Otherwise each heartbeat would write the index of signals, and wake the watches.
    #[test]
    fn a_renewal_of_entries_writes_no_signal() {
        let queue = sql(true).queue.unwrap();
        assert!(!queue.keep.as_str().contains("signal"));
        assert!(queue.keep_and_signal.as_str().contains("signal = max(?4"));
    }
}
