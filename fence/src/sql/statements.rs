//! The statements of a fence, for each database.
//!
//! # How a term is raised, and how it is checked
//!
//! To raise it, a term first *announces* itself in a row that no check locks, and commits. Then it
//! updates the row of the token, which waits for the share locks of the transactions that have
//! passed a check. A check takes that lock only if nothing newer is announced, so that a steady
//! stream of older transactions cannot delay the update: on PostgreSQL a share lock is granted
//! beside others although an update waits.
//!
//! A check is one statement: the row of the token is read under a share lock, and compared. It
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
    /// They are written for this database.
    pub database: Database,
    /// These announce a term, in a transaction of their own. The last one returns the largest floor
    /// that was announced. On SQLite there are none.
    pub announce: Vec<Statement>,
    /// These raise the fence to the announced floor, in a transaction of their own. The last one
    /// returns the largest floor that was raised.
    pub raise: Vec<Statement>,
    /// Returns the largest floor that was announced. It is missing on SQLite.
    pub announced: Option<Statement>,
    /// Returns the largest floor that was raised.
    pub raised: Statement,
    /// Returns a row if the term may write, and takes a share lock on the fence until the end of
    /// the transaction.
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
    /// Its placeholders are numbered from `first` on. If the statement changed no row, a check tells
    /// whether the term is over.
    #[must_use]
    pub fn guard(&self, first: usize) -> Statement {
        self.guard.clone().numbered_from(first)
    }
}

/// `GREATEST` keeps a row from ever getting a smaller token, whatever the caller believes.
///
/// A row that was written ends the limit on statements of its transaction: a limit that is over
/// during the commit would not undo it, but end its wait for a synchronous standby.
fn postgres(fence: &str, intent: &str) -> Statements {
    let query =
        |template: String, parameters| Statement::query(Database::Postgres, template, parameters);
    let grow = |table: &str| {
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
    // A transaction that has checked shows its lock on the table, and in the row its number, or
    // one that stands for several.
    let sessions = |members: &str, number: &str| {
        query(
            format!(
                "SELECT DISTINCT x.pid || '|' || concat_ws(', ', nullif(a.application_name, ''), \
                     a.state, 'in a transaction for ' \
                     || round(date_part('epoch', clock_timestamp() - a.xact_start)) || ' s') \
                     AS line \
                 FROM {fence} AS f {members} \
                     JOIN pg_locks AS x ON x.locktype = 'transactionid' AND x.granted \
                         AND x.mode = 'ExclusiveLock' AND x.transactionid = {number} \
                     JOIN pg_locks AS r ON r.locktype = 'relation' AND r.granted \
                         AND r.mode = 'RowShareLock' AND r.relation = f.tableoid AND r.pid = x.pid \
                     LEFT JOIN pg_stat_activity AS a ON a.pid = x.pid \
                 WHERE f.name = ?"
            ),
            &[Name],
        )
    };
    Statements {
        database: Database::Postgres,
        announce: vec![grow(intent)],
        raise: vec![grow(fence)],
        announced: Some(read(intent)),
        raised: read(fence),
        check: query(format!("SELECT f.token {locked}"), &[Name, Floor, Token]),
        sessions: vec![
            sessions("", "f.xmax"),
            sessions("CROSS JOIN LATERAL pg_get_multixact_members(f.xmax) AS m", "m.xid"),
        ],
        guard: query(format!("EXISTS (SELECT 1 {locked})"), &[Name, Floor, Token]),
    }
}

/// MySQL and MariaDB share the texts. `LOCK IN SHARE MODE` locks the tables of its own level alone,
/// so the announcement is read in a subquery, which locks nothing. It refers to the fence's row so
/// that it is read once that row is locked: at REPEATABLE READ it takes the transaction's snapshot,
/// which must not be older than the lock.
fn mysql(fence: &str, intent: &str, fence_table: &str) -> Statements {
    let query =
        |template: String, parameters| Statement::query(Database::MySql, template, parameters);
    let read =
        |table: &str| query(format!("SELECT t.token FROM {table} AS t WHERE t.name = ?"), &[Name]);
    let grow = |table: &str| {
        let grow = format!(
            "INSERT INTO {table} (name, token) VALUES (?, ?) \
             ON DUPLICATE KEY UPDATE token = GREATEST(token, ?)"
        );
        vec![Statement::command(Database::MySql, grow, &[Name, Floor, Floor]), read(table)]
    };
    let locked = format!(
        "FROM {fence} AS f WHERE f.name = ? AND f.token BETWEEN ? AND ? \
         AND f.token >= (SELECT i.token FROM {intent} AS i WHERE i.name = f.name) \
         LOCK IN SHARE MODE"
    );
    // Only MySQL tells this, and only to users that may read its `performance_schema`.
    let sessions = format!(
        "SELECT DISTINCT CAST(CONCAT(t.processlist_id, '|', CONCAT_WS(', ', \
             CONCAT(t.processlist_user, '@', t.processlist_host), t.processlist_command, \
             CONCAT('for ', t.processlist_time, ' s'))) AS BINARY) AS line \
         FROM performance_schema.data_locks AS l \
             JOIN performance_schema.threads AS t ON t.thread_id = l.thread_id \
         WHERE l.object_schema = DATABASE() AND l.object_name = '{fence_table}' \
             AND l.lock_type = 'RECORD' AND l.lock_status = 'GRANTED' \
             AND l.lock_data = CONCAT('0x', HEX(?)) AND t.processlist_id <> CONNECTION_ID()"
    );
    Statements {
        database: Database::MySql,
        announce: grow(intent),
        raise: grow(fence),
        announced: Some(read(intent)),
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
        announce: Vec::new(),
        raise: vec![query(raise, &[Name, Floor])],
        announced: None,
        raised: query(format!("SELECT t.token FROM {fence} AS t WHERE t.name = ?"), &[Name]),
        check: query(format!("SELECT f.token {current}"), &[Name, Floor, Token]),
        sessions: Vec::new(),
        guard: query(format!("EXISTS (SELECT 1 {current})"), &[Name, Floor, Token]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::schema;
    use super::*;

    const DATABASES: [Database; 3] = [Database::Postgres, Database::MySql, Database::Sqlite];

    fn statements(database: Database) -> Statements {
        Statements::on_tables(database, "s.fence", "s.intent", "fence")
    }

    fn all(statements: &Statements) -> Vec<Statement> {
        let mut all =
            vec![statements.raised.clone(), statements.check.clone(), statements.guard(1)];
        all.extend(statements.announced.clone());
        for more in [&statements.announce, &statements.raise, &statements.sessions] {
            all.extend(more.iter().cloned());
        }
        all
    }

    #[test]
    fn each_placeholder_has_a_value() {
        for database in DATABASES {
            for statement in all(&statements(database)) {
                let placeholders = statement.pieces().count() - 1;
                assert_eq!(placeholders, statement.parameters().len(), "{}", statement.sql());
            }
        }
    }

    #[test]
    fn only_the_check_and_the_guard_lock_and_only_the_fence() {
        for database in [Database::Postgres, Database::MySql] {
            let statements = statements(database);
            let locks = |statement: &Statement| {
                statement.sql().contains("FOR SHARE") || statement.sql().contains("IN SHARE MODE")
            };
            assert!(locks(&statements.check) && locks(&statements.guard(1)));
            assert_eq!(all(&statements).iter().filter(|statement| locks(statement)).count(), 2);
        }
        assert!(statements(Database::Postgres).check.sql().ends_with("FOR SHARE OF f"));
        let mysql = statements(Database::MySql);
        // The intent stands in a subquery without a lock.
        assert!(mysql.check.sql().ends_with("i.name = f.name) LOCK IN SHARE MODE"));
    }

    #[test]
    fn the_limit_of_a_wait_on_postgres_ends_before_the_commit() {
        let statements = statements(Database::Postgres);
        for last in [statements.announce.last(), statements.raise.last()] {
            let text = last.unwrap().sql();
            assert!(text.contains("set_config('statement_timeout', '0', true)"), "{text}");
        }
    }

    #[test]
    fn a_namespace_has_the_statements_on_the_tables_of_its_schema() {
        let namespace = Namespace::new("app").unwrap();
        for database in DATABASES {
            let statements = Statements::new(database, &namespace);
            let schema = schema(database, &namespace);
            for table in ["app_fence", "app_fence_intent"] {
                let created = schema.contains(&format!("EXISTS {table} ("));
                let used = |statement: &Statement| {
                    let words: Vec<_> = statement.sql().split([' ', '.']).collect();
                    words.contains(&table)
                };
                assert_eq!(used(&statements.check), created, "{database:?} {table}");
            }
        }
    }

    #[test]
    fn a_guard_continues_the_numbers_of_the_statement_around_it() {
        assert!(statements(Database::Postgres).guard(3).sql().contains("f.name = $3"));
        assert!(statements(Database::Sqlite).guard(3).sql().contains("BETWEEN ?4 AND ?5"));
    }

    #[test]
    fn no_statement_gives_a_row_a_smaller_token() {
        for database in DATABASES {
            let statements = statements(database);
            for statement in statements.announce.iter().chain(&statements.raise) {
                let text = statement.sql().to_ascii_lowercase();
                let writes = text.starts_with("insert");
                assert_eq!(writes, text.contains("greatest(") || text.contains("max("), "{text}");
            }
        }
    }
}
