//! This module compares a table with the one that this crate creates.

use leasehold_core::{Error, ErrorKind};

use super::statement::Database;
use super::table::{SCHEMA, VERSION};

/// This is a column as the database describes it.
struct Column<'a> {
    name: &'a str,
    data_type: &'a str,
    collation: &'a str,
    is_not_null: bool,
    has_default: bool,
    is_key: bool,
}

/// Returns the table's name with its schema, from its description, or `None` if the table does not
/// exist.
///
/// # Errors
/// This returns [`ErrorKind::Corrupt`] for a table that is not as this crate creates it, and
/// [`ErrorKind::Unsupported`] for one of a newer version, or in a schema whose name contains a
/// question mark, which the statements would take for a placeholder.
pub(crate) fn find(
    database: Database,
    table: &str,
    description: &[String],
) -> Result<Option<String>, Error> {
    let value_of = |key| description.iter().find_map(|line| line.strip_prefix(key));
    let Some(schema) = value_of("schema=") else { return Ok(None) };
    if schema.contains('?') {
        let message = format!("the name of the schema {schema} has a question mark");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_fix("create the fence's tables in another schema"));
    }
    check_version(table, value_of("comment=").unwrap_or_default())?;
    let (kind, expected) = expected(database);
    let found = value_of("kind=").unwrap_or("missing");
    if !found.eq_ignore_ascii_case(kind) {
        return Err(differs(table, &format!("it is {found}, not {kind}")));
    }
    let columns = description.iter().filter_map(|line| line.strip_prefix("column="));
    if let Some(difference) = difference(columns, &expected) {
        return Err(differs(table, &difference));
    }
    Ok(Some(format!("{schema}.{table}")))
}

/// Returns the kind of the table, and the name, the type and the collation of its columns.
pub(crate) fn expected(
    database: Database,
) -> (&'static str, [(&'static str, &'static str, &'static str); 2]) {
    match database {
        Database::Postgres => ("a table", [("name", "text", "C"), ("token", "bigint", "")]),
        Database::MySql => ("InnoDB", [("name", "varbinary(255)", ""), ("token", "bigint", "")]),
        Database::Sqlite => {
            let kind = "table without rowid strict";
            (kind, [("name", "TEXT", "BINARY"), ("token", "INTEGER", "")])
        }
    }
}

/// Returns the first difference from what is expected.
///
/// Additional columns are allowed, since a later version may add some, unless each new row must
/// have a value for them.
fn difference<'a>(
    columns: impl Iterator<Item = &'a str>,
    expected: &[(&str, &str, &str)],
) -> Option<String> {
    let mut missing = expected.to_vec();
    for column in columns {
        let Column { name, data_type, collation, is_not_null, has_default, is_key } = parse(column);
        let known = missing.iter().position(|(expected, ..)| *expected == name);
        let Some((_, expected_type, expected_collation)) = known.map(|at| missing.swap_remove(at))
        else {
            if is_not_null && !has_default {
                return Some(format!("its column {name} is NOT NULL without a default"));
            }
            continue;
        };
        // MariaDB shows a display width, which has no effect.
        let data_type = if data_type == "bigint(20)" { "bigint" } else { data_type };
        if !data_type.eq_ignore_ascii_case(expected_type) {
            return Some(format!("its column {name} is {data_type}, not {expected_type}"));
        }
        let same = collation.eq_ignore_ascii_case(expected_collation) || collation == "POSIX";
        if !expected_collation.is_empty() && !same {
            return Some(format!(
                "its column {name} has the collation {collation:?}, not {expected_collation:?}"
            ));
        }
        if !is_not_null {
            return Some(format!("its column {name} may be NULL"));
        }
        if name == "name" && !is_key {
            return Some("its names are not unique".to_owned());
        }
    }
    missing.first().map(|(name, ..)| format!("it has no column {name}"))
}

fn parse(column: &str) -> Column<'_> {
    let mut parts = column.split('|');
    let mut next = || parts.next().unwrap_or_default();
    Column {
        name: next(),
        data_type: next(),
        collation: next(),
        is_not_null: next() == "not null",
        has_default: next() == "default",
        is_key: next() == "key",
    }
}

fn differs(table: &str, difference: &str) -> Error {
    let message = format!("\"{table}\" is not as leasehold creates it: {difference}");
    Error::new(ErrorKind::Corrupt, message)
        .with_fix("compare it with the schema that leasehold prints, or use another namespace")
}

/// Refuses a table whose comment or definition states a newer version of the schema.
fn check_version(table: &str, stated: &str) -> Result<(), Error> {
    for stated in stated.split(VERSION).skip(1) {
        let end = stated.find(|c: char| !c.is_ascii_digit()).unwrap_or(stated.len());
        let version = &stated[..end];
        if version.is_empty() || version.parse().is_ok_and(|version: u32| version <= SCHEMA) {
            continue;
        }
        let message =
            format!("\"{table}\" has schema {version}, and this program knows {SCHEMA} at most");
        return Err(Error::new(ErrorKind::Unsupported, message).with_fix(
            "update this program: use a newer version of leasehold, or another namespace",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASES: [Database; 3] = [Database::Postgres, Database::MySql, Database::Sqlite];

    fn description(database: Database) -> Vec<String> {
        let (kind, [(name, text, collation), (token, number, _)]) = expected(database);
        vec![
            "schema=app".to_owned(),
            format!("kind={kind}"),
            "comment=leasehold schema 1".to_owned(),
            format!("column={name}|{text}|{collation}|not null||key"),
            format!("column={token}|{number}||not null||"),
        ]
    }

    #[test]
    fn a_table_as_created_is_found_with_its_schema() {
        for database in DATABASES {
            assert_eq!(find(database, "t", &[]).unwrap(), None);
            let found = find(database, "t", &description(database)).unwrap();
            assert_eq!(found.as_deref(), Some("app.t"));
            let mut more = description(database);
            more.push("column=note|text||||".to_owned());
            assert!(find(database, "t", &more).unwrap().is_some());
        }
    }

    #[test]
    fn a_schema_whose_name_would_be_a_placeholder_is_refused() {
        for database in DATABASES {
            let mut lines = description(database);
            lines[0] = "schema=\"a?b\"".to_owned();
            assert!(find(database, "t", &lines).unwrap_err().is_unsupported());
        }
    }

    #[test]
    fn a_table_that_differs_is_refused() {
        for database in DATABASES {
            for (at, line, expected) in [
                (1, "kind=something", "it is something"),
                (3, "column=name|integer||not null||key", "its column name is integer"),
                (3, "column=other|text||not null||", "its column other is NOT NULL"),
                (3, "column=other|text||||", "it has no column name"),
                (4, "column=token|text||not null||", "its column token is text"),
            ] {
                let mut lines = description(database);
                line.clone_into(&mut lines[at]);
                let error = find(database, "t", &lines).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(error.to_string().contains(expected), "{error}");
            }
            let mut lines = description(database);
            lines[3] = lines[3].replace("key", "");
            assert!(find(database, "t", &lines).unwrap_err().to_string().contains("not unique"));
            let mut lines = description(database);
            lines[2] = "comment=leasehold schema 2".to_owned();
            assert!(find(database, "t", &lines).unwrap_err().is_unsupported());
        }
    }
}
