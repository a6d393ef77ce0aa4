use super::super::sql::Sql;
use super::*;
use crate::Namespace;

fn sql(queue: bool) -> Sql {
    Sql::new(&Namespace::default(), "t".to_owned(), "i".to_owned(), queue)
}

fn queue() -> QueueStatements {
    sql(true).queue.unwrap()
}

/// Returns where that part of the text begins.
fn at(text: &str, part: &str) -> usize {
    text.find(part).unwrap_or_else(|| panic!("no {part} in {text}"))
}

#[test]
fn each_placeholder_has_a_value() {
    let queue = queue();
    queue.enter.assert_bound('$');
    queue.leave.assert_bound('$');
    // Names, leases and ttls.
    assert!(queue.renew.as_str().contains("$3") && !queue.renew.as_str().contains("$4"));
}

/// The cost of an exclusive lock does not depend on whether the table has queues.
#[test]
fn queues_change_no_statement_that_grants_renews_or_releases_an_exclusive_lock() {
    let [with, without] = [true, false].map(|queue| {
        let sql = sql(queue);
        let statements = sql.statements;
        [
            statements.acquire,
            statements.acquire_free,
            statements.release,
            statements.disable,
            statements.enable,
            sql.release_many,
            sql.unused,
        ]
        .map(|statement| statement.sql)
        .into_iter()
        .chain([sql.renew, sql.remove])
        .map(|sql| sql.as_str().to_owned())
        .collect::<Vec<_>>()
    });
    assert_eq!(with, without);
}

#[test]
fn a_table_without_the_columns_has_no_statement_that_names_them() {
    let sql = sql(false);
    assert!(sql.queue.is_none());
    for statement in [&sql.statements.find.sql, &sql.statements.list.sql, &sql.poll] {
        let statement = statement.as_str();
        assert!(!statement.contains("kind") && !statement.contains("queue"), "{statement}");
    }
}

#[test]
fn an_entry_is_as_durable_as_a_grant_and_leaving_is_as_a_release() {
    let queue = queue();
    let is_asynchronous = |sql: &SqlStr| sql.as_str().contains("synchronous_commit', 'off'");
    assert!(!is_asynchronous(&queue.enter.sql) && !is_asynchronous(&queue.renew));
    assert!(is_asynchronous(&queue.leave.sql));
    let fallback = &queue.leave.fallback.as_ref().unwrap().sql;
    assert!(!is_asynchronous(fallback) && !fallback.as_str().contains("pg_notify"));
}

/// Heartbeats must not cause hints, and nobody needs one about a new entry.
#[test]
fn only_leaving_notifies() {
    let queue = queue();
    for text in [queue.enter.sql.as_str(), queue.renew.as_str()] {
        assert!(!text.contains("pg_notify"), "{text}");
    }
    assert!(queue.leave.sql.as_str().contains("CASE WHEN c.hint IS NOT NULL THEN pg_notify("));
}

/// A query that does not depend on the row could be evaluated before the row is locked.
#[test]
fn the_clock_of_a_decision_is_read_after_the_row_is_locked() {
    let queue = queue();
    for text in [queue.leave.sql.as_str(), queue.renew.as_str()] {
        let lock = at(text, "FOR NO KEY UPDATE");
        assert!(lock < at(text, CLOCK), "{text}");
        let clock = format!("(SELECT CASE WHEN h.expires_at IS NOT NULL THEN {CLOCK} END AS now)");
        assert!(lock < at(text, &clock), "{text}");
    }
    let update = queue.enter.sql.as_str().split("ON CONFLICT").nth(1).unwrap();
    let computed = update.split("WHERE l.disabled_reason IS NULL").next().unwrap();
    assert_eq!(computed.matches(CLOCK).count(), 1, "one clock makes the decision: {computed}");
}

/// A renewal and a leave are conditional updates: they make no row.
#[test]
fn only_an_attempt_to_enter_inserts() {
    let queue = queue();
    for text in [queue.leave.sql.as_str(), queue.renew.as_str()] {
        assert!(!text.contains("INSERT"), "{text}");
    }
    assert!(queue.enter.sql.as_str().contains("ON CONFLICT (name) DO UPDATE SET"));
}

#[test]
fn a_number_is_converted_only_if_it_is_one() {
    let entries = entries("x");
    assert_eq!(entries.matches("::bigint").count(), entries.matches("^[0-9]{1,18}$").count());
    assert!(entries.contains("jsonb_typeof(x) = 'array'"), "{entries}");
}
