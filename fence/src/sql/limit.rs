//! How a database is told for how long a statement may wait.

use std::fmt::Display;
use std::time::Duration;

use super::statement::{Database, Statement};

/// SQLite looks again and again whether a lock is free, and ever less often: it is asked again after
/// this time, so that a stream of short transactions cannot win each time.
const SQLITE_ROUND: Duration = Duration::from_millis(20);

/// While SQLite waits to commit with a rollback journal, it lets no other connection begin to read. It
/// does so for this long, and then lets them read for the pause.
const SQLITE_COMMIT_ROUND: Duration = Duration::from_secs(1);
/// A connection that waits looks every 100 ms whether it may read.
const SQLITE_COMMIT_PAUSE: Duration = Duration::from_millis(250);

/// A step that fails sooner, as SQLite reports some conflicts at once, is repeated after this time.
const SHORTEST_ROUND: Duration = Duration::from_millis(5);

/// A raise that is not blocked may be silent for at least this long before its commit.
const SHORTEST_SILENCE: Duration = Duration::from_secs(5);

/// Returns the queries for the session's own limits, where they must be restored later.
pub(crate) fn of_session(database: Database) -> Vec<Statement> {
    let queries: &[&str] = match database {
        Database::Postgres => &[],
        Database::MySql => &[
            "SELECT CAST(@@SESSION.innodb_lock_wait_timeout AS SIGNED) AS seconds",
            "SELECT CAST(@@SESSION.lock_wait_timeout AS SIGNED) AS seconds",
        ],
        Database::Sqlite => &["PRAGMA busy_timeout"],
    };
    queries.iter().map(|query| Statement::query(database, *query, &[])).collect()
}

/// Returns the command that restores the session's own limits, which those queries returned.
pub(crate) fn restore(database: Database, saved: &[i64]) -> Option<String> {
    match (database, saved) {
        (Database::MySql, [rows, tables]) => Some(mysql(rows, tables)),
        (Database::Sqlite, [wait]) => Some(format!("PRAGMA busy_timeout = {wait}")),
        _ => None,
    }
}

/// Returns the command that limits the next wait, to run in the session before the transaction.
pub(crate) fn before(database: Database, left: Duration) -> Option<String> {
    match database {
        Database::Postgres => None,
        Database::MySql => {
            // It counts whole seconds; the last one may exceed what is left.
            let seconds = left.as_secs().clamp(1, 1_000_000);
            Some(mysql(&seconds, &seconds))
        }
        Database::Sqlite => {
            let wait = left.min(SQLITE_ROUND).as_millis().max(1);
            Some(format!("PRAGMA busy_timeout = {wait}"))
        }
    }
}

/// The first limit is that of waits for rows, the second that of waits for tables.
fn mysql(rows: &impl Display, tables: &impl Display) -> String {
    format!(
        "SET @@SESSION.innodb_lock_wait_timeout = {rows}, @@SESSION.lock_wait_timeout = {tables}"
    )
}

/// Returns the commands that limit the next wait, to run first in the transaction.
///
/// On PostgreSQL the limit is that of the statement: `lock_timeout` begins again with each of the
/// transactions that the statement waits for, and PostgreSQL 17 and later have a limit on the transaction
/// too. The server ends the session of a raise that is paused
/// before its commit, which would block every later one. The commit waits for the disk, and for a
/// standby where one is synchronous, whatever the session's setting.
pub(crate) fn within(database: Database, left: Duration) -> Option<String> {
    match database {
        Database::Postgres => {
            let limit = |time: Duration| time.as_millis().clamp(1, 2_000_000_000);
            let (left, silence) = (limit(left), limit(left.max(SHORTEST_SILENCE)));
            Some(format!(
                "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = {left}; \
                 SET LOCAL idle_in_transaction_session_timeout = {silence}; \
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
/// Readers of SQLite that overlap cannot delay a commit that waits for as long as they read.
pub(crate) fn before_commit(database: Database, left: Duration) -> Option<String> {
    match database {
        Database::Postgres | Database::MySql => None,
        Database::Sqlite => {
            let wait = left.min(SQLITE_COMMIT_ROUND).as_millis().max(1);
            Some(format!("PRAGMA busy_timeout = {wait}"))
        }
    }
}

/// Returns the pause before a step is repeated that took that long.
pub(crate) fn pause_after(database: Database, took: Duration) -> Duration {
    match database {
        Database::Sqlite if took >= SQLITE_COMMIT_ROUND => SQLITE_COMMIT_PAUSE,
        _ => SHORTEST_ROUND.saturating_sub(took),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_zero_which_would_mean_none() {
        let nothing = Duration::ZERO;
        let within = within(Database::Postgres, nothing).unwrap();
        assert!(within.contains("statement_timeout = 1;"), "{within}");
        assert!(before(Database::MySql, nothing).unwrap().ends_with("= 1"));
        for command in [before(Database::Sqlite, nothing), before_commit(Database::Sqlite, nothing)]
        {
            assert!(command.unwrap().ends_with("= 1"));
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
    fn what_changes_the_session_can_be_restored() {
        for database in [Database::Postgres, Database::MySql, Database::Sqlite] {
            let own = of_session(database);
            let saved = vec![50; own.len()];
            assert_eq!(before(database, Duration::from_secs(3)).is_some(), !own.is_empty());
            assert_eq!(restore(database, &saved).is_some(), !own.is_empty());
        }
    }

    #[test]
    fn a_raise_on_postgres_is_ended_if_it_is_paused_and_is_on_disk_once_it_returns() {
        let within = within(Database::Postgres, Duration::from_secs(30)).unwrap();
        assert!(within.contains("idle_in_transaction_session_timeout = 30000;"), "{within}");
        assert!(within.contains("set_config('synchronous_commit', 'on', true)"), "{within}");
    }
}
