//! Compares a table with the one that Leasehold creates.

use crate::{Error, ErrorKind};

/// This text stands before the version of the schema in a comment or a definition.
pub(crate) const VERSION: &str = "leasehold schema ";

/// This is the fix for what is missing and may not be created.
pub(crate) const CREATE_IT: &str = "allow leasehold to create it, or apply `leasehold schema`";

/// A column of a table has a name and a type, and may be NOT NULL. The first column of a table is
/// its key.
pub(crate) type Column = (&'static str, &'static str, bool);

/// This is a column as the database describes it.
pub(crate) struct FoundColumn {
    pub(crate) name: String,
    pub(crate) kind: String,
    /// This is true if it is NOT NULL.
    pub(crate) filled: bool,
    /// This is true if it gets a value when a statement gives none.
    pub(crate) given: bool,
    /// This says what else is wrong with it, if it is one of those expected.
    pub(crate) wrong: Option<String>,
}

/// Returns the first difference from what is expected. Additional columns are allowed, unless they
/// must be filled: a later version may add some.
pub(crate) fn difference(
    found: impl IntoIterator<Item = FoundColumn>,
    expected: &[Column],
) -> Option<String> {
    let mut missing = expected.to_vec();
    for FoundColumn { name, kind, filled, given, wrong } in found {
        let known = missing.iter().position(|(expected, ..)| *expected == name);
        let Some((_, expected, always)) = known.map(|at| missing.swap_remove(at)) else {
            if filled && !given {
                return Some(format!("its column {name} is NOT NULL without a default"));
            }
            continue;
        };
        if !kind.eq_ignore_ascii_case(expected) {
            return Some(format!("its column {name} is {kind}, not {expected}"));
        }
        if wrong.is_some() {
            return wrong;
        }
        if filled != always {
            return Some(format!("its column {name} differs in whether it may be NULL"));
        }
    }
    missing.first().map(|(name, ..)| format!("it has no column {name}"))
}

/// Returns the error for a table that differs from the one that Leasehold creates.
pub(crate) fn differs(table: &str, difference: &str) -> Error {
    let message = format!("\"{table}\" is not as leasehold creates it: {difference}");
    Error::new(ErrorKind::Corrupt, message)
        .with_fix("compare it with `leasehold schema`, or use another namespace")
}

/// Returns the error for a table that is missing.
pub(crate) fn missing(table: &str) -> Error {
    Error::invalid(format!("the table \"{table}\" is missing")).with_fix(CREATE_IT)
}

/// Refuses a table whose comment or definition states a newer version of the schema; the highest
/// counts if there are several. A table without a version is of the first.
///
/// # Errors
/// This returns [`Unsupported`](ErrorKind::Unsupported) for a newer version.
pub(crate) fn check_version(table: &str, stated: &str, known: u32) -> Result<(), Error> {
    for stated in stated.split(VERSION).skip(1) {
        let end = stated.find(|c: char| !c.is_ascii_digit()).unwrap_or(stated.len());
        let version = &stated[..end];
        if version.is_empty() || version.parse().is_ok_and(|version: u32| version <= known) {
            continue;
        }
        let message =
            format!("\"{table}\" has schema {version}, and this program knows {known} at most");
        return Err(Error::new(ErrorKind::Unsupported, message).with_fix(
            "update this program: use a newer version of leasehold, or another namespace",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_version_is_refused_and_others_are_accepted() {
        for accepted in [
            "",
            "locks of the billing team",
            "leasehold schema 1",
            "owned by ops; leasehold schema 2, see the wiki",
            "CREATE TABLE a (b TEXT /* leasehold schema 2 */)",
            "the leasehold schema of the billing team",
        ] {
            check_version("t", accepted, 2).unwrap();
        }
        for refused in [
            "leasehold schema 3",
            "leasehold schema 99999999999",
            "CREATE TABLE a (b /* leasehold schema 2 */, c /* leasehold schema 13*/)",
        ] {
            let error = check_version("t", refused, 2).unwrap_err();
            assert!(error.is_unsupported(), "{error}");
        }
    }

    #[test]
    fn the_first_difference_is_named() {
        let column = |name: &str, kind: &str, filled| FoundColumn {
            name: name.to_owned(),
            kind: kind.to_owned(),
            filled,
            given: false,
            wrong: None,
        };
        let expected = [("name", "text", true), ("token", "bigint", false)];
        let found = |second| difference([column("name", "TEXT", true), second], &expected);
        assert_eq!(found(column("token", "bigint", false)), None);
        for (second, expected) in [
            (column("token", "text", false), "its column token is text, not bigint"),
            (column("token", "bigint", true), "its column token differs in whether it may be NULL"),
            (column("extra", "text", true), "its column extra is NOT NULL without a default"),
            (column("extra", "text", false), "it has no column token"),
            (
                FoundColumn {
                    wrong: Some("its key".to_owned()),
                    ..column("token", "bigint", true)
                },
                "its key",
            ),
        ] {
            assert_eq!(found(second).as_deref(), Some(expected));
        }
    }
}
