//! Compares a table with the one that this crate creates.

use leasehold_core::{Error, ErrorKind};

use super::statement::Database;
use super::table::{SCHEMA, VERSION};

/// This is a column as the database describes it.
struct Column<'a> {
    name: &'a str,
    kind: &'a str,
    collation: &'a str,
    filled: bool,
    given: bool,
    key: bool,
}

/// Returns the table's name with its schema, from its description, or `None` if the table does not
/// exist.
///
/// # Errors
/// This returns [`ErrorKind::Corrupt`] for a table that is not as this crate creates it, and
/// [`ErrorKind::Unsupported`] for one of a newer version, or in a schema whose name would be taken for
/// a placeholder.
pub(crate) fn find(
    database: Database,
    table: &str,
    description: &[String],
) -> Result<Option<String>, Error> {
    let of = |key| description.iter().find_map(|line| line.strip_prefix(key));
    let Some(schema) = of("schema=") else { return Ok(None) };
    if schema.contains('?') {
        let message = format!("the name of the schema {schema} has a question mark");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_fix("create the fence's tables in another schema"));
    }
    check_version(table, of("comment=").unwrap_or_default())?;
    let (kind, expected) = expected(database);
    let found = of("kind=").unwrap_or("missing");
    if !found.eq_ignore_ascii_case(kind) {
        return Err(differs(table, &format!("it is {found}, not {kind}")));
    }
    let columns = description.iter().filter_map(|line| line.strip_prefix("column="));
    if let Some(difference) = difference(columns, &expected) {
        return Err(differs(table, &difference));
    }
    Ok(Some(format!("{schema}.{table}")))
}

/// Returns the kind of the table and its columns: name, type, collation, and whether it is the key.
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

/// Returns the first difference from what is expected. Additional columns are allowed, unless they
/// must be filled: a later version may add some.
fn difference<'a>(
    columns: impl Iterator<Item = &'a str>,
    expected: &[(&str, &str, &str)],
) -> Option<String> {
    let mut missing = expected.to_vec();
    for column in columns {
        let Column { name, kind, collation, filled, given, key } = parse(column);
        let known = missing.iter().position(|(expected, ..)| *expected == name);
        let Some((_, expected, collated)) = known.map(|at| missing.swap_remove(at)) else {
            if filled && !given {
                return Some(format!("its column {name} is NOT NULL without a default"));
            }
            continue;
        };
        // MariaDB shows a width, which means nothing.
        let kind = if kind == "bigint(20)" { "bigint" } else { kind };
        if !kind.eq_ignore_ascii_case(expected) {
            return Some(format!("its column {name} is {kind}, not {expected}"));
        }
        let same = collation.eq_ignore_ascii_case(collated) || collation == "POSIX";
        if !collated.is_empty() && !same {
            return Some(format!(
                "its column {name} has the collation {collation:?}, not {collated:?}"
            ));
        }
        if !filled {
            return Some(format!("its column {name} may be NULL"));
        }
        if name == "name" && !key {
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
        kind: next(),
        collation: next(),
        filled: next() == "filled",
        given: next() == "given",
        key: next() == "key",
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
            format!("column={name}|{text}|{collation}|filled||key"),
            format!("column={token}|{number}||filled||"),
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
                (3, "column=name|integer||filled||key", "its column name is integer"),
                (3, "column=other|text||filled||", "its column other is NOT NULL"),
                (3, "column=other|text||||", "it has no column name"),
                (4, "column=token|text||filled||", "its column token is text"),
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
