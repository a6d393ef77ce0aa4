//! These tests compare what diesel sends on each backend, and test the fence on SQLite.

use diesel::backend::Backend;
use diesel::debug_query;
use diesel::query_builder::QueryFragment;
use diesel::sql_types::BigInt;

use super::query::FenceQuery;
use crate::sql::{Database, Statement, Statements, Value, Values};

const VALUES: Values<'static> = Values { name: "ledger", floor: 5, token: 7 };

/// Compares what diesel sends with what the other drivers send, which are tested on real servers.
#[track_caller]
fn sends_the_same<DB>(database: Database, name: &str)
where
    DB: Backend + Default,
    DB::QueryBuilder: Default,
    for<'a> FenceQuery<'a, BigInt>: QueryFragment<DB>,
{
    for statement in all(database) {
        let query = FenceQuery::<BigInt>::new(&statement, VALUES);
        let sent = debug_query::<DB, _>(&query).to_string();
        let binds = statement.values(VALUES).map(|value| match value {
            Value::Name(_) => name.to_owned(),
            Value::Number(number) => number.to_string(),
        });
        let binds = binds.collect::<Vec<_>>().join(", ");
        assert_eq!(sent, format!("{} -- binds: [{binds}]", expected(&statement)));
    }
}

/// diesel does not write the numbers of SQLite's placeholders, which are those of their order.
fn expected(statement: &Statement) -> String {
    let numbered = ["?1", "?2", "?3"];
    numbered.iter().fold(statement.sql().to_owned(), |sql, number| sql.replace(number, "?"))
}

fn all(database: Database) -> Vec<Statement> {
    let statements = Statements::on_tables(database, "s.fence", "s.intent", "fence");
    let mut all = vec![statements.guard(1), statements.raised, statements.check];
    all.extend(statements.intent);
    all.extend(statements.set_intent);
    all.extend(statements.raise);
    all.extend(statements.sessions);
    all
}

#[cfg(feature = "diesel-postgres")]
#[test]
fn postgres_is_sent_the_statements_of_other_drivers() {
    sends_the_same::<diesel::pg::Pg>(Database::Postgres, "\"ledger\"");
}

#[cfg(feature = "diesel-mysql")]
#[test]
fn mysql_is_sent_the_statements_of_other_drivers_and_a_name_as_bytes() {
    sends_the_same::<diesel::mysql::Mysql>(Database::MySql, &format!("{:?}", b"ledger"));
}

#[cfg(feature = "diesel-sqlite")]
#[test]
fn sqlite_is_sent_the_statements_of_other_drivers() {
    sends_the_same::<diesel::sqlite::Sqlite>(Database::Sqlite, "\"ledger\"");
}

#[cfg(feature = "diesel-sqlite")]
mod sqlite {
    use std::time::Duration;

    use diesel::connection::SimpleConnection;
    use diesel::{Connection, RunQueryDsl, SqliteConnection};
    use leasehold_core::{FencingToken, LockName, Namespace};

    use super::*;
    use crate::diesel::{SqliteFence, SqliteFenceTable};
    use crate::error::Error;
    use crate::schema::Schema;
    use crate::term::Term;

    const LIMIT: Duration = Duration::from_millis(100);

    fn fence(connection: &mut SqliteConnection, token: u64) -> SqliteFence {
        let table = SqliteFenceTable::open(connection, &Namespace::default(), Schema::Create);
        let name = LockName::new("ledger").unwrap();
        table.unwrap().fence(&Term::new(&name, FencingToken::new(token).unwrap()))
    }

    fn check(connection: &mut SqliteConnection, fence: &SqliteFence) -> Option<Error> {
        // The transaction's own errors are those of diesel.
        let mut checked = None;
        let ended = connection.transaction(|connection| {
            checked = fence.check(connection).err();
            diesel::QueryResult::Ok(())
        });
        ended.unwrap();
        checked
    }

    #[test]
    fn an_older_term_passes_no_check_after_a_newer_one_has_raised() {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        let (older, newer) = (fence(&mut connection, 7), fence(&mut connection, 8));
        let error = check(&mut connection, &older).unwrap();
        assert!(matches!(error, Error::NotRaised(_)), "{error}");
        older.raise(&mut connection, LIMIT).unwrap();
        older.raise(&mut connection, LIMIT).unwrap();
        assert!(check(&mut connection, &older).is_none());
        newer.raise(&mut connection, LIMIT).unwrap();
        assert!(check(&mut connection, &newer).is_none());
        assert!(check(&mut connection, &older).unwrap().is_stale());
        assert!(older.raise(&mut connection, LIMIT).unwrap_err().is_stale());
        let error = newer.check(&mut connection).unwrap_err();
        assert!(error.to_string().contains("outside a transaction"), "{error}");
    }

    #[test]
    fn a_fence_that_was_raised_before_can_be_checked_in_a_test_transaction() {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        let fence = fence(&mut connection, 7);
        fence.raise(&mut connection, LIMIT).unwrap();
        connection.begin_test_transaction().unwrap();
        assert!(check(&mut connection, &fence).is_none());
        let error = fence.raise(&mut connection, LIMIT).unwrap_err();
        assert!(error.to_string().contains("transactions of its own"), "{error}");
    }

    #[test]
    fn raise_waits_for_a_writer_up_to_its_limit_and_restores_the_busy_timeout() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let open = || SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        let (mut first, mut second) = (open(), open());
        let fence = fence(&mut first, 7);
        first.batch_execute("PRAGMA busy_timeout = 1234").unwrap();
        second.batch_execute("BEGIN IMMEDIATE").unwrap();
        let error = fence.raise(&mut first, LIMIT).unwrap_err();
        let Error::Blocked(blocked) = error else { panic!("{error}") };
        assert!(blocked.waited >= LIMIT && blocked.sessions.is_empty(), "{blocked:?}");
        second.batch_execute("COMMIT").unwrap();
        fence.raise(&mut first, LIMIT).unwrap();
        let own = Statement::query(Database::Sqlite, "PRAGMA busy_timeout", &[]);
        let own = FenceQuery::<BigInt>::new(&own, VALUES).load::<i64>(&mut first);
        assert_eq!(own.unwrap(), [1234]);
    }
}
