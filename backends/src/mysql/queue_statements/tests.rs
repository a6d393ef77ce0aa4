use super::super::sql::Sql;
use super::*;
use crate::Namespace;

fn sql(queue: bool) -> Sql {
    Sql::of(&Namespace::default(), "d", queue)
}

fn queue() -> QueueStatements {
    sql(true).queue.unwrap()
}

/// Returns the part of the text after that one.
fn after<'a>(text: &'a str, part: &str) -> &'a str {
    text.split_once(part).unwrap_or_else(|| panic!("no {part} in {text}")).1
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn each_placeholder_has_a_value() {
    let queue = queue();
    for statement in [&queue.enter, &queue.leave, &queue.find_locked] {
        statement.assert_bound('?');
    }
    // The entries are bound, and then the names.
    for names in [1, 2, 3, 200] {
        assert_eq!(count(queue.renew(names).as_str(), "?"), 1 + padded(names));
        assert_eq!(count(queue.find_many(names).as_str(), "?"), padded(names));
        assert_eq!(count(queue.find_many_locked(names).as_str(), "?"), padded(names));
    }
    assert_eq!([1, 2, 3, 5, 200].map(padded), [1, 2, 4, 8, 256]);
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
            sql.renew,
        ]
        .map(|statement| statement.sql)
        .into_iter()
        .chain([sql.renew_batch, sql.remove])
        .map(|sql| sql.as_str().to_owned())
        .collect::<Vec<_>>()
    });
    assert_eq!(with, without);
}

#[test]
fn a_table_without_the_columns_has_no_statement_that_names_them() {
    let sql = sql(false);
    assert!(sql.queue.is_none());
    let statements = [
        &sql.statements.find.sql,
        &sql.statements.list.sql,
        &sql.find_batch,
        &sql.unused.sql,
        &sql.signals,
    ];
    for statement in statements.map(SqlStr::as_str) {
        assert!(!statement.contains("kind"), "{statement}");
        assert!(!statement.contains(&MARKER.to_string()), "{statement}");
    }
}

/// Assignments are evaluated from left to right, and the others depend on the first.
#[test]
fn the_clock_of_a_decision_is_stored_before_anything_else() {
    let queue = queue();
    let renew = queue.renew(1);
    for text in [queue.leave.sql.as_str(), renew.as_str()] {
        assert!(after(text, " SET ").starts_with("attempt = (TIMESTAMPDIFF"), "{text}");
        let others = after(text, "queue = ").split(" WHERE name").next().unwrap();
        assert!(others.contains(".attempt"), "{text}");
    }
    let enter = queue.enter.sql.as_str();
    assert!(after(enter, "VALUES (?, ").starts_with("(TIMESTAMPDIFF"), "{enter}");
    let update = after(enter, "ON DUPLICATE KEY UPDATE ");
    assert!(update.starts_with("attempt = IF("), "{enter}");
    // The decision is made once, and reads the clock last.
    assert_eq!(count(after(update, " token = IF("), "SYSDATE"), 0, "{enter}");
    // What depends on the row as it was comes before the assignments that change it.
    let at = |part: &str| update.find(part).unwrap_or_else(|| panic!("no {part} in {update}"));
    let order =
        [" token = IF(", " queue = IF(", " expires_at = IF(", " lease = IF(", " ending = IF("];
    assert!(order.map(at).is_sorted(), "{enter}");
}

/// Otherwise each heartbeat would write the index of signals, and wake the watches.
#[test]
fn only_leaving_writes_a_signal() {
    let queue = queue();
    assert!(!queue.renew(1).as_str().contains("signal"));
    assert!(!after(queue.enter.sql.as_str(), "ON DUPLICATE").contains("signal"));
    assert!(queue.leave.sql.as_str().contains("`signal` = (TIMESTAMPDIFF"));
}

/// An ordinary read may be older than a renewal that is being committed.
#[test]
fn rows_can_be_read_locked_after_a_change() {
    let queue = queue();
    let (locked, ordinary) = (queue.find_many_locked(2), queue.find_many(2));
    for text in [queue.find_locked.sql.as_str(), locked.as_str()] {
        assert!(text.ends_with(" LOCK IN SHARE MODE"), "{text}");
        assert!(text.contains(" AS clock ") && text.contains(" AS queue"), "{text}");
    }
    assert_eq!(locked.as_str(), format!("{} LOCK IN SHARE MODE", ordinary.as_str()));
}

/// The server evaluates all columns of a table for each entry, while the row is locked.
#[test]
fn a_subquery_takes_only_those_columns_out_of_the_entries_that_it_uses() {
    let queue = queue();
    let renew = queue.renew(1);
    for text in [queue.enter.sql.as_str(), queue.leave.sql.as_str(), renew.as_str()] {
        for table in text.split("(SELECT ").skip(1).filter(|part| part.contains("AS q")) {
            let (_, columns) = table.split_once("COLUMNS (").unwrap();
            let (columns, _) = columns.split_once(") AS q").unwrap();
            let names = columns.split(" PATH '$").filter_map(|column| {
                let name = column.split_once(", ").map_or(column, |(_, name)| name);
                name.split_once(' ').map(|(name, _)| name)
            });
            let names: Vec<_> = names.collect();
            assert!(!names.is_empty(), "{table}");
            for name in names {
                assert!(count(table, &format!("q.{name}")) > 0, "{name}: {table}");
            }
        }
        // Whole entries are taken out for the new queue, and for nothing else.
        let written = count(text, "JSON_ARRAYAGG(JSON_SET(q.doc");
        assert!(written > 0, "{text}");
        assert_eq!(count(text, "doc JSON"), written, "{text}");
    }
}

/// Its client has given up by then, and nobody would renew or remove the entry.
#[test]
fn an_attempt_that_has_waited_for_its_ttl_makes_no_entry() {
    let queue = queue();
    let update = after(queue.enter.sql.as_str(), "ON DUPLICATE KEY UPDATE ");
    let waited = "attempt = IF((MOD(TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6)) + 8100000000, \
         1800000000) - 900000000) < CAST(? AS SIGNED) AND ";
    assert!(update.starts_with(waited), "{update}");
    let before = count(queue.enter.sql.as_str(), "?") - count(update, "?");
    assert_eq!(queue.enter.parameters[before], Ttl);
}

/// Such quotes and signs mean something else in some values of `sql_mode`.
#[test]
fn statements_do_not_depend_on_the_sql_mode() {
    let queue = queue();
    let texts =
        [queue.enter.sql.as_str(), queue.leave.sql.as_str(), queue.find_locked.sql.as_str()];
    for text in texts.into_iter().chain([queue.renew(1).as_str(), queue.find_many(1).as_str()]) {
        for sign in ["||", "\\", "\""] {
            assert!(!text.contains(sign), "{sign}: {text}");
        }
    }
}
