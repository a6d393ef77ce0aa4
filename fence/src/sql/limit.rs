//! How a database is told for how long a statement may wait.

use std::time::Duration;

use super::statement::{Database, Statement};

/// SQLite looks again and again whether a lock is free, and ever less often: it is asked again after
/// this time, so that a stream of short transactions cannot win each time.
const SQLITE_ROUND: Duration = Duration::from_millis(20);

/// Returns the query for the session's own limit, where it must be restored later.
pub(crate) fn of_session(database: Database) -> Option<Statement> {
    let query = match database {
        Database::Postgres => return None,
        Database::MySql => "SELECT CAST(@@SESSION.innodb_lock_wait_timeout AS SIGNED) AS seconds",
        Database::Sqlite => "PRAGMA busy_timeout",
    };
    Some(Statement::query(database, query, &[]))
}

/// Returns the command that restores the session's own limit.
pub(crate) fn restore(database: Database, saved: i64) -> Option<String> {
    match database {
        Database::Postgres => None,
        Database::MySql => Some(format!("SET SESSION innodb_lock_wait_timeout = {saved}")),
        Database::Sqlite => Some(format!("PRAGMA busy_timeout = {saved}")),
    }
}

/// Returns the command that limits the next wait, to run in the session before the transaction.
pub(crate) fn before(database: Database, left: Duration) -> Option<String> {
    match database {
        Database::Postgres => None,
        Database::MySql => {
            // It counts whole seconds; the last one may exceed what is left.
            let seconds = left.as_secs().clamp(1, 1_000_000);
            Some(format!("SET SESSION innodb_lock_wait_timeout = {seconds}"))
        }
        Database::Sqlite => {
            let wait = left.min(SQLITE_ROUND).as_millis().max(1);
            Some(format!("PRAGMA busy_timeout = {wait}"))
        }
    }
}

/// Returns the command that limits the next wait, to run as the first one in the transaction.
///
/// On PostgreSQL the limit is that of the statement: `lock_timeout` begins again with each of the
/// transactions that the statement waits for.
pub(crate) fn within(database: Database, left: Duration) -> Option<String> {
    match database {
        Database::Postgres => {
            let left = left.as_millis().clamp(1, 2_000_000_000);
            Some(format!("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = {left}"))
        }
        Database::MySql | Database::Sqlite => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_zero_which_would_mean_none() {
        let nothing = Duration::ZERO;
        assert!(within(Database::Postgres, nothing).unwrap().ends_with("statement_timeout = 1"));
        assert!(before(Database::MySql, nothing).unwrap().ends_with("= 1"));
        assert!(before(Database::Sqlite, nothing).unwrap().ends_with("= 1"));
    }

    #[test]
    fn what_changes_the_session_can_be_restored() {
        for database in [Database::Postgres, Database::MySql, Database::Sqlite] {
            let changes = before(database, Duration::from_secs(3)).is_some();
            assert_eq!(of_session(database).is_some(), changes);
            assert_eq!(restore(database, 50).is_some(), changes);
        }
    }
}
