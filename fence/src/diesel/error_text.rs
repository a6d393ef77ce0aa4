//! This module says what diesel's errors mean.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::sql::Database;
use crate::sql::failure::Failure;

/// Describes an error of diesel.
pub(super) fn failure(database: Database, error: DieselError) -> Failure {
    let code = code(database, &error);
    Failure::new(database, code, error)
}

/// Returns the database's code for an error, as far as its text shows it. The code is empty if the
/// text is unknown, and `None` if the database did not answer.
fn code(database: Database, error: &DieselError) -> Option<&'static str> {
    let (kind, text) = match error {
        DieselError::DatabaseError(kind, information) => (kind, information.message()),
        DieselError::RollbackErrorOnCommit { commit_error, .. } => {
            return code(database, commit_error);
        }
        DieselError::BrokenTransactionManager => return None,
        _ => return Some(""),
    };
    match kind {
        DatabaseErrorKind::SerializationFailure => {
            return Some(match database {
                Database::Postgres => "40001",
                Database::MySql => "1213",
                Database::Sqlite => "517",
            });
        }
        DatabaseErrorKind::ReadOnlyTransaction => {
            return Some(match database {
                Database::Postgres => "25006",
                Database::MySql => "1792",
                Database::Sqlite => "8",
            });
        }
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
            return None;
        }
        _ => {}
    }
    TEXTS.iter().find(|(part, _)| text.contains(part)).map_or(Some(""), |(_, code)| *code)
}

/// An error whose text contains one of these parts has the code beside it.
const TEXTS: [(&str, Option<&str>); 22] = [
    ("due to statement timeout", Some("57014")),
    ("due to user request", Some("57014")),
    ("due to lock timeout", Some("55P03")),
    ("deadlock detected", Some("40P01")),
    ("permission denied", Some("42501")),
    ("no schema has been selected", Some("3F000")),
    ("current transaction is aborted", Some("25P02")),
    ("Lock wait timeout exceeded", Some("1205")),
    ("Deadlock found", Some("1213")),
    ("Record has changed since last read", Some("1020")),
    ("Query execution was interrupted", Some("1317")),
    ("command denied", Some("1142")),
    ("No database selected", Some("1046")),
    ("-read-only option", Some("1290")),
    ("terminating connection", None),
    ("gone away", None),
    ("Lost connection", None),
    ("Server shutdown in progress", None),
    ("database is locked", Some("5")),
    ("database table is locked", Some("6")),
    ("readonly database", Some("8")),
    ("disk I/O error", Some("10")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::failure::Class;

    #[test]
    fn the_text_of_an_error_decides_its_code() {
        let error = |kind, text: &str| DieselError::DatabaseError(kind, Box::new(text.to_owned()));
        let unknown = |text| code(Database::Postgres, &error(DatabaseErrorKind::Unknown, text));
        assert_eq!(unknown("canceling statement due to statement timeout"), Some("57014"));
        assert_eq!(unknown("Lock wait timeout exceeded; try restarting"), Some("1205"));
        assert_eq!(unknown("Record has changed since last read in table 'f'"), Some("1020"));
        assert_eq!(unknown("database is locked"), Some("5"));
        assert_eq!(unknown("something else"), Some(""));
        assert_eq!(unknown("MySQL server has gone away"), None);
    }

    #[test]
    fn an_error_that_diesel_classifies_means_the_same_on_each_database() {
        for database in [Database::Postgres, Database::MySql, Database::Sqlite] {
            let failure = |kind| {
                failure(database, DieselError::DatabaseError(kind, Box::new("x".to_owned())))
            };
            let conflict = failure(DatabaseErrorKind::SerializationFailure);
            assert_eq!(conflict.class, Class::Conflict, "{database:?}");
            let read_only = failure(DatabaseErrorKind::ReadOnlyTransaction);
            assert!(read_only.error.to_string().contains("accepts no writes"), "{database:?}");
        }
    }

    #[test]
    fn a_text_means_what_the_code_means_with_other_drivers() {
        for (database, text, other) in [
            (Database::MySql, "Server shutdown in progress", "1053"),
            (
                Database::MySql,
                "The MySQL server is running with the --read-only option so it cannot execute this \
                 statement",
                "1290",
            ),
            (Database::Sqlite, "disk I/O error", "10"),
            (Database::Sqlite, "attempt to write a readonly database", "8"),
            (Database::Postgres, "terminating connection due to administrator command", "57P01"),
        ] {
            let information = Box::new(text.to_owned());
            let error = DieselError::DatabaseError(DatabaseErrorKind::Unknown, information);
            let found = failure(database, error);
            let other = Failure::new(database, Some(other), std::io::Error::other("x"));
            assert_eq!(found.class, other.class, "{text}");
            assert_eq!(found.error.kind(), other.error.kind(), "{text}");
        }
    }
}
