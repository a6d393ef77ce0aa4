//! These tests check what the statements of all databases have in common.

use super::super::table::schema;
use super::*;

const DATABASES: [Database; 3] = [Database::Postgres, Database::MySql, Database::Sqlite];

fn statements(database: Database) -> Statements {
    Statements::on_tables(database, "s.fence", "s.intent", "fence")
}

fn all(statements: &Statements) -> Vec<Statement> {
    let mut all = vec![statements.raised.clone(), statements.check.clone(), statements.guard(1)];
    all.extend(statements.intent.clone());
    for more in [&statements.set_intent, &statements.raise, &statements.sessions] {
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
    for last in [statements.set_intent.last(), statements.raise.last()] {
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
        for statement in statements.set_intent.iter().chain(&statements.raise) {
            let text = statement.sql().to_ascii_lowercase();
            let writes = text.starts_with("insert");
            assert_eq!(writes, text.contains("greatest(") || text.contains("max("), "{text}");
        }
    }
}
