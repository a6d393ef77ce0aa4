//! This module says what diesel's errors mean.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::sql::Database;
use crate::sql::failure::Failure;

/// Describes an error.
pub(super) fn failure(database: Database, error: DieselError) -> Failure {
    let code = code(&error);
    Failure::new(database, code, error)
}

/// Returns the code that the database gave an error, as far as its text tells; empty for another
/// one, and `None` if there was no answer.
fn code(error: &DieselError) -> Option<&'static str> {
    let (kind, text) = match error {
        DieselError::DatabaseError(kind, information) => (kind, information.message()),
        DieselError::RollbackErrorOnCommit { commit_error, .. } => return code(commit_error),
        DieselError::BrokenTransactionManager => return None,
        _ => return Some(""),
    };
    match kind {
        DatabaseErrorKind::SerializationFailure => return Some("40001"),
        DatabaseErrorKind::ReadOnlyTransaction => return Some("25006"),
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
            return None;
        }
        _ => {}
    }
    TEXTS.iter().find(|(part, _)| text.contains(part)).map_or(Some(""), |(_, code)| *code)
}

/// These are parts of the texts of errors, with their codes.
const TEXTS: [(&str, Option<&str>); 16] = [
    ("due to statement timeout", Some("57014")),
    ("due to user request", Some("57014")),
    ("due to lock timeout", Some("55P03")),
    ("deadlock detected", Some("40P01")),
    ("permission denied", Some("42501")),
    ("no schema has been selected", Some("3F000")),
    ("current transaction is aborted", Some("25P02")),
    ("Lock wait timeout exceeded", Some("1205")),
    ("Deadlock found", Some("1213")),
    ("command denied", Some("1142")),
    ("No database selected", Some("1046")),
    ("gone away", None),
    ("Lost connection", None),
    ("database is locked", Some("5")),
    ("database table is locked", Some("6")),
    ("readonly database", Some("8")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_error_tells_a_wait_from_a_refusal() {
        let error = |kind, text: &str| DieselError::DatabaseError(kind, Box::new(text.to_owned()));
        let unknown = |text| code(&error(DatabaseErrorKind::Unknown, text));
        assert_eq!(unknown("canceling statement due to statement timeout"), Some("57014"));
        assert_eq!(unknown("Lock wait timeout exceeded; try restarting"), Some("1205"));
        assert_eq!(unknown("database is locked"), Some("5"));
        assert_eq!(unknown("something else"), Some(""));
        assert_eq!(unknown("MySQL server has gone away"), None);
        assert_eq!(code(&error(DatabaseErrorKind::SerializationFailure, "x")), Some("40001"));
    }
}
