//! The statements of a fence are written here for each database.
//!
//! # How a fence is raised, and how it is checked
//!
//! To raise its fence, a term first sets its *intent* in a row that no check locks, and commits.
//! Then it updates the row of the token, which waits for the shared locks of the transactions that
//! have passed a check. A check takes that lock only if the intent is not newer, so that a steady
//! stream of older transactions cannot delay the update: on PostgreSQL a shared lock is granted
//! beside others although an update waits.
//!
//! A check is one statement: the row of the token is read under a shared lock, and compared. It
//! returns a row if the term may write, and none otherwise.

use leasehold_core::Namespace;

use super::statement::Parameter::{Floor, Name, Token};
use super::statement::{Database, Statement};
use super::table::Table;

/// These are the statements on one namespace's tables.
///
/// The modules of the drivers run them. They are public for drivers that have no module here; raise
/// and check as [the module `sql`](crate::sql) says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Statements {
    /// The statements are written for this database.
    pub database: Database,
    /// These set the intent of a term, in a transaction of their own: the floor to which it raises
    /// the fence. The last one returns the intent, which may be a larger one of another term. SQLite
    /// needs no intent, so this is empty there.
    pub set_intent: Vec<Statement>,
    /// These raise the fence to the intent, in a transaction of their own. The last one returns the
    /// largest floor that was raised.
    pub raise: Vec<Statement>,
    /// This returns the intent. It is missing on SQLite.
    pub intent: Option<Statement>,
    /// This returns the largest floor that was raised.
    pub raised: Statement,
    /// This returns a row if the term may write, and takes a shared lock on the fence until the end
    /// of the transaction.
    pub check: Statement,
    /// These return the sessions for whose transactions a raise waits, each as a text of its number,
    /// `|` and a description. Run them in turn until one returns rows.
    pub sessions: Vec<Statement>,
    guard: Statement,
}

impl Statements {
    /// Creates the statements for the tables of a namespace, which [`schema`](crate::sql::schema)
    /// creates.
    ///
    /// The names of the tables have no schema, except `main` on SQLite, so each connection must find
    /// the same tables. On PostgreSQL that depends on its `search_path`.
    #[must_use]
    pub fn new(database: Database, namespace: &Namespace) -> Self {
        let fence = Table::Fence.name(namespace);
        match database {
            Database::Postgres | Database::MySql => {
                Self::on_tables(database, &fence, &Table::Intent.name(namespace), &fence)
            }
            Database::Sqlite => Self::on_tables(database, &format!("main.{fence}"), "", &fence),
        }
    }

    /// Creates the statements for the tables with those names, which may be qualified.
    ///
    /// `fence_table` is the name without its schema.
    pub(crate) fn on_tables(
        database: Database,
        fence: &str,
        intent: &str,
        fence_table: &str,
    ) -> Self {
        match database {
            Database::Postgres => postgres(fence, intent),
            Database::MySql => mysql(fence, intent, fence_table),
            Database::Sqlite => sqlite(fence),
        }
    }

    /// Returns a condition that is true if the term may write, for a single statement that is its
    /// own transaction: `UPDATE … WHERE id = $1 AND ` and this.
    ///
    /// Its placeholders are numbered from `first` on. If the statement changed no row, read the
    /// intent and the raised token to find out whether the term is over.
    #[must_use]
    pub fn guard(&self, first: usize) -> Statement {
        self.guard.clone().numbered_from(first)
    }
}

/// `GREATEST` ensures that a row never gets a smaller token, whatever token the caller has.
///
/// A statement that has written its row lifts the `statement_timeout` of its transaction: a timeout
/// during the commit would not undo the commit, but would end its wait for a synchronous standby.
fn postgres(fence: &str, intent: &str) -> Statements {
    let query =
        |template: String, parameters| Statement::query(Database::Postgres, template, parameters);
    let keep_largest = |table: &str| {
        query(
            format!(
                "INSERT INTO {table} AS t (name, token) VALUES (?, ?) \
                 ON CONFLICT (name) DO UPDATE SET token = greatest(t.token, excluded.token) \
                 RETURNING CASE WHEN set_config('statement_timeout', '0', true) IS NOT NULL \
                     THEN t.token END AS token"
            ),
            &[Name, Floor],
        )
    };
    let read =
        |table: &str| query(format!("SELECT t.token FROM {table} AS t WHERE t.name = ?"), &[Name]);
    // The row of the fence is read again after a wait for its lock; that of the intent is not,
    // which is why the fence's own token decides.
    let locked = format!(
        "FROM {fence} AS f JOIN {intent} AS i ON i.name = f.name \
         WHERE f.name = ? AND f.token BETWEEN ? AND ? AND i.token <= f.token FOR SHARE OF f"
    );
    let describe = "concat_ws(', ', nullif(a.application_name, ''), a.state, \
         'in a transaction for ' \
         || round(date_part('epoch', clock_timestamp() - a.xact_start)) || ' s') AS line";
    // A session that changes the table, or waits to do so, blocks every other statement on it: also
    // those that follow, which is why this one reads only the server's own tables.
    let changes = {
        let [fence, intent] = [fence, intent].map(|table| table.replace('\'', "''"));
        format!(
            "SELECT DISTINCT x.pid || '|' || {describe} \
             FROM pg_locks AS x LEFT JOIN pg_stat_activity AS a ON a.pid = x.pid \
             WHERE x.locktype = 'relation' AND x.pid <> pg_backend_pid() AND x.database = \
                 (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) \
                 AND x.relation IN ('{fence}'::regclass::oid, '{intent}'::regclass::oid) \
                 AND x.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', \
                     'AccessExclusiveLock')"
        )
    };
    // A transaction that has checked, or is raising the fence, shows its lock on the table, and in
    // the row its number, or one that stands for several.
    let sessions = |table: &str, members: &str, number: &str| {
        query(
            format!(
                "SELECT DISTINCT x.pid || '|' || {describe} \
                 FROM {table} AS f {members} \
                     JOIN pg_locks AS x ON x.locktype = 'transactionid' AND x.granted \
                         AND x.mode = 'ExclusiveLock' AND x.transactionid = {number} \
                     JOIN pg_locks AS r ON r.locktype = 'relation' AND r.granted \
                         AND r.mode IN ('RowShareLock', 'RowExclusiveLock') \
                         AND r.relation = f.tableoid AND r.pid = x.pid \
                     LEFT JOIN pg_stat_activity AS a ON a.pid = x.pid \
                 WHERE f.name = ?"
            ),
            &[Name],
        )
    };
    let several = "CROSS JOIN LATERAL pg_get_multixact_members(f.xmax) AS m";
    Statements {
        database: Database::Postgres,
        set_intent: vec![keep_largest(intent)],
        raise: vec![keep_largest(fence)],
        intent: Some(read(intent)),
        raised: read(fence),
        check: query(format!("SELECT f.token {locked}"), &[Name, Floor, Token]),
        sessions: vec![
            query(changes, &[]),
            sessions(intent, "", "f.xmax"),
            sessions(fence, "", "f.xmax"),
            sessions(fence, several, "m.xid"),
        ],
        guard: query(format!("EXISTS (SELECT 1 {locked})"), &[Name, Floor, Token]),
    }
}

/// MySQL and MariaDB share the texts. `LOCK IN SHARE MODE` does not lock the rows that a subquery
/// reads, so the intent is read in one. The subquery refers to the fence's row so
/// that it is read once that row is locked: at REPEATABLE READ it takes the transaction's snapshot,
/// which must not be older than the lock.
fn mysql(fence: &str, intent: &str, fence_table: &str) -> Statements {
    let query =
        |template: String, parameters| Statement::query(Database::MySql, template, parameters);
    let read =
        |table: &str| query(format!("SELECT t.token FROM {table} AS t WHERE t.name = ?"), &[Name]);
    let keep_largest = |table: &str| {
        let upsert = format!(
            "INSERT INTO {table} (name, token) VALUES (?, ?) \
             ON DUPLICATE KEY UPDATE token = GREATEST(token, ?)"
        );
        vec![Statement::command(Database::MySql, upsert, &[Name, Floor, Floor]), read(table)]
    };
    let locked = format!(
        "FROM {fence} AS f WHERE f.name = ? AND f.token BETWEEN ? AND ? \
         AND f.token >= (SELECT i.token FROM {intent} AS i WHERE i.name = f.name) \
         LOCK IN SHARE MODE"
    );
    // Only MySQL shows this, and only to users that may read its `performance_schema`.
    let sessions = format!(
        "SELECT DISTINCT CAST(CONCAT(t.processlist_id, '|', CONCAT_WS(', ', \
             CONCAT(t.processlist_user, '@', t.processlist_host), t.processlist_command, \
             CONCAT('for ', t.processlist_time, ' s'))) AS BINARY) AS line \
         FROM performance_schema.data_locks AS l \
             JOIN performance_schema.threads AS t ON t.thread_id = l.thread_id \
         WHERE l.object_schema = DATABASE() \
             AND l.object_name IN ('{fence_table}', '{fence_table}_intent') \
             AND l.lock_type = 'RECORD' AND l.lock_status = 'GRANTED' \
             AND l.lock_data = CONCAT('0x', HEX(?)) AND t.processlist_id <> CONNECTION_ID()"
    );
    Statements {
        database: Database::MySql,
        set_intent: keep_largest(intent),
        raise: keep_largest(fence),
        intent: Some(read(intent)),
        raised: read(fence),
        check: query(format!("SELECT f.token {locked}"), &[Name, Floor, Token]),
        sessions: vec![query(sessions, &[Name])],
        // The count keeps the optimizer from turning the subquery into a join.
        guard: query(format!("(SELECT COUNT(*) {locked}) = 1"), &[Name, Floor, Token]),
    }
}

/// SQLite has one writer at a time. A transaction that has written keeps every other from raising a
/// fence until it ends; one that has only read cannot write any more once another has written.
fn sqlite(fence: &str) -> Statements {
    let query =
        |template: String, parameters| Statement::query(Database::Sqlite, template, parameters);
    let raise = format!(
        "INSERT INTO {fence} AS t (name, token) VALUES (?, ?) \
         ON CONFLICT (name) DO UPDATE SET token = max(t.token, excluded.token) RETURNING token"
    );
    let current = format!("FROM {fence} AS f WHERE f.name = ? AND f.token BETWEEN ? AND ?");
    Statements {
        database: Database::Sqlite,
        set_intent: Vec::new(),
        raise: vec![query(raise, &[Name, Floor])],
        intent: None,
        raised: query(format!("SELECT t.token FROM {fence} AS t WHERE t.name = ?"), &[Name]),
        check: query(format!("SELECT f.token {current}"), &[Name, Floor, Token]),
        sessions: Vec::new(),
        guard: query(format!("EXISTS (SELECT 1 {current})"), &[Name, Floor, Token]),
    }
}

#[cfg(test)]
mod tests;
