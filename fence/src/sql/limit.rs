//! These commands limit how long a database lets a statement wait, and set how a session begins and
//! ends its transactions.

use std::time::Duration;

use super::statement::{Database, Statement};

/// A wait of SQLite ends after this time, and is then repeated.
///
/// SQLite polls for a lock at growing intervals, so a single long wait could miss each moment at
/// which a stream of short transactions leaves it free.
const SQLITE_WAIT: Duration = Duration::from_millis(20);

/// While SQLite waits to commit with a rollback journal, it lets no other connection begin to read. It
/// does so for this long, and then lets them read for the pause.
const SQLITE_COMMIT_WAIT: Duration = Duration::from_secs(1);
/// A connection that waits to read looks every 100 ms whether it may.
const SQLITE_COMMIT_PAUSE: Duration = Duration::from_millis(250);

/// An attempt that fails sooner is repeated after this time; SQLite reports some conflicts at once.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(5);

/// The transaction of a raise may be idle for at least this long before PostgreSQL ends its
/// session.
const SHORTEST_IDLE_LIMIT: Duration = Duration::from_secs(5);

/// Without this setting, a read outside of a transaction would begin one, which would stay open after
/// the raise and could block the next one.
const AUTOCOMMIT: i64 = 1;

/// Another `completion_type` lets a commit begin another transaction or end the session.
const NO_CHAIN: i64 = 0;

/// Returns the queries for the session's own settings, where they must be restored later.
pub(crate) fn settings_of_session(database: Database) -> Vec<Statement> {
    let queries: &[&str] = match database {
        Database::Postgres => &[],
        Database::MySql => &[
            "SELECT CAST(@@SESSION.innodb_lock_wait_timeout AS SIGNED) AS seconds",
            "SELECT CAST(@@SESSION.lock_wait_timeout AS SIGNED) AS seconds",
            "SELECT CAST(@@SESSION.autocommit AS SIGNED) AS enabled",
            // The server shows a name, and also accepts its number, which begins with 0.
            "SELECT CAST(FIELD(@@SESSION.completion_type, 'NO_CHAIN', 'CHAIN', 'RELEASE') - 1 \
                 AS SIGNED) AS number",
        ],
        Database::Sqlite => &["PRAGMA busy_timeout"],
    };
    queries.iter().map(|query| Statement::query(database, *query, &[])).collect()
}

/// Returns the command that restores the session's own settings, which those queries returned.
pub(crate) fn restore(database: Database, saved: &[i64]) -> Option<String> {
    match (database, saved) {
        (Database::MySql, &[rows, tables, autocommit, completion_type]) => {
            Some(mysql(rows, tables, autocommit, completion_type))
        }
        (Database::Sqlite, [wait]) => Some(format!("PRAGMA busy_timeout = {wait}")),
        _ => None,
    }
}

/// Returns the command that limits the next wait, to run in the session before the transaction.
pub(crate) fn before_transaction(database: Database, left: Duration) -> Option<String> {
    match database {
        Database::Postgres => None,
        Database::MySql => {
            // MySQL counts whole seconds, so the last wait may exceed what is left.
            let seconds = left.as_secs().clamp(1, 1_000_000).cast_signed();
            Some(mysql(seconds, seconds, AUTOCOMMIT, NO_CHAIN))
        }
        Database::Sqlite => {
            let wait = left.min(SQLITE_WAIT).as_millis().max(1);
            Some(format!("PRAGMA busy_timeout = {wait}"))
        }
    }
}

/// Returns the command that sets the limits of waits for rows and for tables, and how transactions
/// begin and end.
fn mysql(rows: i64, tables: i64, autocommit: i64, completion_type: i64) -> String {
    format!(
        "SET @@SESSION.innodb_lock_wait_timeout = {rows}, @@SESSION.lock_wait_timeout = {tables}, \
         @@SESSION.autocommit = {autocommit}, @@SESSION.completion_type = {completion_type}"
    )
}

/// Returns the commands that limit the next wait, to run first in the transaction.
///
/// On PostgreSQL this limits the statement: a `lock_timeout` begins again with each transaction for
/// which the statement waits, and a limit on the whole transaction (PostgreSQL 17) is lifted. The
/// server ends the session of a raise that is paused before its commit, which would block every later
/// one. The commit waits for the disk, and for a synchronous standby if there is one, whatever the
/// session's setting.
pub(crate) fn first_in_transaction(database: Database, left: Duration) -> Option<String> {
    match database {
        Database::Postgres => {
            let limit = |time: Duration| time.as_millis().clamp(1, 2_000_000_000);
            let (left, idle) = (limit(left), limit(left.max(SHORTEST_IDLE_LIMIT)));
            Some(format!(
                "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = {left}; \
                 SET LOCAL idle_in_transaction_session_timeout = {idle}; \
                 SELECT set_config('synchronous_commit', 'on', true) \
                 WHERE current_setting('synchronous_commit') <> 'remote_apply'; \
                 SELECT set_config('transaction_timeout', '0', true) \
                 WHERE EXISTS (SELECT FROM pg_settings WHERE name = 'transaction_timeout')"
            ))
        }
        Database::MySql | Database::Sqlite => None,
    }
}

/// Returns the command that limits the wait of the commit, to run last in the transaction.
///
/// Readers of SQLite that overlap cannot delay a commit that waits for longer than each of them reads.
pub(crate) fn before_commit(database: Database, left: Duration) -> Option<String> {
    match database {
        Database::Postgres | Database::MySql => None,
        Database::Sqlite => {
            let wait = left.min(SQLITE_COMMIT_WAIT).as_millis().max(1);
            Some(format!("PRAGMA busy_timeout = {wait}"))
        }
    }
}

/// Returns the pause before a step is repeated whose attempt took that long.
pub(crate) fn pause_after(database: Database, took: Duration) -> Duration {
    match database {
        Database::Sqlite if took >= SQLITE_COMMIT_WAIT => SQLITE_COMMIT_PAUSE,
        _ => SHORTEST_ATTEMPT.saturating_sub(took),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_zero_which_would_mean_none() {
        let nothing = Duration::ZERO;
        let first = first_in_transaction(Database::Postgres, nothing).unwrap();
        assert!(first.contains("statement_timeout = 1;"), "{first}");
        let mysql = before_transaction(Database::MySql, nothing).unwrap();
        assert_eq!(mysql.matches("lock_wait_timeout = 1,").count(), 2, "{mysql}");
        for limit in [before_transaction, before_commit] {
            assert!(limit(Database::Sqlite, nothing).unwrap().ends_with("= 1"));
        }
    }

    #[test]
    fn a_commit_of_sqlite_lets_others_read_now_and_then() {
        let commit = before_commit(Database::Sqlite, Duration::from_secs(30)).unwrap();
        assert!(commit.ends_with("= 1000"), "{commit}");
        let pauses = [0, 20, 1000].map(Duration::from_millis);
        let pauses = pauses.map(|took| pause_after(Database::Sqlite, took).as_millis());
        assert_eq!(pauses, [5, 0, 250]);
    }

    #[test]
    fn a_setting_that_changes_the_session_can_be_restored() {
        for database in [Database::Postgres, Database::MySql, Database::Sqlite] {
            let own = settings_of_session(database);
            let saved = vec![50; own.len()];
            let limit = before_transaction(database, Duration::from_secs(3));
            assert_eq!(limit.is_some(), !own.is_empty());
            assert_eq!(restore(database, &saved).is_some(), !own.is_empty());
        }
    }

    #[test]
    fn a_raise_on_postgres_is_ended_if_it_is_paused_and_is_on_disk_once_it_returns() {
        let first = first_in_transaction(Database::Postgres, Duration::from_secs(30)).unwrap();
        assert!(first.contains("idle_in_transaction_session_timeout = 30000;"), "{first}");
        assert!(first.contains("set_config('synchronous_commit', 'on', true)"), "{first}");
    }
}
