//! This module says what a database's errors mean to a caller.

use std::error::Error as StdError;

use leasehold_core::{Error, ErrorKind};

use super::statement::Database;

/// The class of a failure decides what the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The database ended the transaction because of a concurrent one.
    Conflict,
    /// A wait was ended by its limit.
    Limit,
    /// The database answered with another error, and did nothing.
    Refused,
    /// There was no answer, so it is not known whether the statement had an effect.
    Unanswered,
}

/// This is an error of a driver with its class.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    pub(crate) error: Error,
}

type Meaning = (Class, ErrorKind, &'static str, &'static str);

const CONFLICT: Meaning = (
    Class::Conflict,
    ErrorKind::Unavailable,
    "the transaction conflicts with a concurrent one",
    "roll back, and run it again",
);
const LIMIT: Meaning = (
    Class::Limit,
    ErrorKind::Unavailable,
    "the time limit of a wait for a lock expired",
    "roll back, and run it again",
);
const DIFFERS: Meaning = (
    Class::Refused,
    ErrorKind::Corrupt,
    "the fence's table is missing or is not as leasehold creates it",
    "look for a program that changed it at run time",
);
const DENIED: Meaning = (
    Class::Refused,
    ErrorKind::Denied,
    "the user lacks a privilege",
    "GRANT SELECT, INSERT, UPDATE on the fence's tables to it, or CREATE to let it create them",
);
const LOGIN: Meaning = (
    Class::Refused,
    ErrorKind::Denied,
    "the server did not accept the user and password",
    "check the user, the password and the host from which it may connect",
);
const UNKNOWN_DATABASE: Meaning = (
    Class::Refused,
    ErrorKind::Invalid,
    "unknown database",
    "create it, or check its name in the URL",
);
const READ_ONLY: Meaning = (
    Class::Refused,
    ErrorKind::Denied,
    "the database accepts no writes",
    "use a file that this user may write, and a transaction that may write",
);
/// A server that is no longer the primary is read-only until the address names another one.
const DEMOTED: Meaning = (
    Class::Refused,
    ErrorKind::Unavailable,
    "the server accepts no writes",
    "use the primary server's address, and a transaction that may write",
);

impl Failure {
    /// Describes an error by the database's code for it: an SQLSTATE on PostgreSQL, a number on
    /// MySQL and SQLite. Without a code the database gave no answer.
    pub(crate) fn new(
        database: Database,
        code: Option<&str>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        let (class, kind, message, fix) = match (database, code) {
            (_, None) => (
                Class::Unanswered,
                ErrorKind::Unavailable,
                "the database did not answer",
                "check that it is up, and reachable from here",
            ),
            (Database::Postgres, Some(code)) => postgres(code),
            (Database::MySql, Some(code)) => mysql(code.parse().unwrap_or_default()),
            (Database::Sqlite, Some(code)) => sqlite(code.parse().unwrap_or_default()),
        };
        Self { class, error: Error::new(kind, message).with_fix(fix).with_source(source) }
    }

    /// Creates the failure of a row that does not have the expected value.
    #[cfg(any(
        feature = "rusqlite",
        feature = "sqlx-mysql",
        feature = "sqlx-postgres",
        feature = "sqlx-sqlite",
        feature = "tokio-postgres"
    ))]
    pub(crate) fn corrupt(source: impl StdError + Send + Sync + 'static) -> Self {
        let (class, kind, message, fix) = DIFFERS;
        Self { class, error: Error::new(kind, message).with_fix(fix).with_source(source) }
    }
}

fn postgres(code: &str) -> Meaning {
    match code {
        "40001" | "40P01" => CONFLICT,
        "55P03" | "57014" => LIMIT,
        "42501" => DENIED,
        "28000" | "28P01" => LOGIN,
        "3D000" => UNKNOWN_DATABASE,
        "25006" => DEMOTED,
        "25P02" => (
            Class::Refused,
            ErrorKind::Invalid,
            "an earlier statement of the transaction has failed",
            "roll back, and check the fence first in each transaction",
        ),
        "3F000" => (
            Class::Refused,
            ErrorKind::Invalid,
            "there is no schema to create the table in",
            "set the user's search_path to one that exists",
        ),
        "22021" | "22P05" => (
            Class::Refused,
            ErrorKind::Invalid,
            "the database's encoding lacks a character of the name",
            "use a database with the encoding UTF8, or another name",
        ),
        "42P01" | "42703" | "42804" | "42883" | "42P10" | "42809" => DIFFERS,
        code if code.starts_with("22") || code.starts_with("23") => DIFFERS,
        // The server or a pooler ends the session, which can come after a commit.
        "25P03" | "25P04" | "40003" | "57P01" | "57P02" | "57P05" => UNANSWERED,
        code if code.starts_with("08") => UNANSWERED,
        _ => REFUSED,
    }
}

fn mysql(code: u32) -> Meaning {
    match code {
        1020 | 1213 | 3101 => CONFLICT,
        1205 | 1317 | 1969 | 3024 => LIMIT,
        1044 | 1142 | 1143 | 1227 | 1370 => DENIED,
        1045 | 1130 | 1698 => LOGIN,
        1049 => UNKNOWN_DATABASE,
        1290 | 1792 | 1836 | 3170 => DEMOTED,
        1046 => {
            (Class::Refused, ErrorKind::Invalid, "no database is chosen", "name one in the URL")
        }
        1146 | 1051 | 1054 | 1347 | 1348 | 1364 | 1264 | 1366 | 1406 | 1048 => DIFFERS,
        // The session ends, which can come after a commit.
        1053 | 1077..=1080 | 1158..=1161 | 1180 | 1927 | 2000..=2999 | 3169 => UNANSWERED,
        _ => REFUSED,
    }
}

/// The code may be an extended one.
fn sqlite(code: i32) -> Meaning {
    match code & 0xff {
        // Another connection has written since this transaction began to read.
        5 if code >> 8 == 2 => CONFLICT,
        5 | 6 => LIMIT,
        8 => READ_ONLY,
        3 | 14 | 23 => (
            Class::Refused,
            ErrorKind::Denied,
            "SQLite may not open the file, or not do this with it",
            "check that the path exists, and that this user may write the file and its folder",
        ),
        1 | 19 | 20 | 26 => DIFFERS,
        // Memory ran out, or the disk failed, maybe during a commit.
        7 | 10 => UNANSWERED,
        _ => REFUSED,
    }
}

const UNANSWERED: Meaning = (
    Class::Unanswered,
    ErrorKind::Unavailable,
    "the connection to the database failed",
    "open another connection",
);
const REFUSED: Meaning =
    (Class::Refused, ErrorKind::Unavailable, "the database returned an error", "see its cause");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_decides_the_class_and_the_kind_of_an_error() {
        use Database::{MySql, Postgres, Sqlite};
        for (database, code, class, kind) in [
            (Postgres, "40001", Class::Conflict, ErrorKind::Unavailable),
            (Postgres, "57014", Class::Limit, ErrorKind::Unavailable),
            (Postgres, "42501", Class::Refused, ErrorKind::Denied),
            (Postgres, "28P01", Class::Refused, ErrorKind::Denied),
            (Postgres, "3D000", Class::Refused, ErrorKind::Invalid),
            (Postgres, "42P01", Class::Refused, ErrorKind::Corrupt),
            (Postgres, "22P05", Class::Refused, ErrorKind::Invalid),
            (Postgres, "57P01", Class::Unanswered, ErrorKind::Unavailable),
            (Postgres, "25P03", Class::Unanswered, ErrorKind::Unavailable),
            (Postgres, "25P04", Class::Unanswered, ErrorKind::Unavailable),
            (Postgres, "25006", Class::Refused, ErrorKind::Unavailable),
            (MySql, "1213", Class::Conflict, ErrorKind::Unavailable),
            (MySql, "1205", Class::Limit, ErrorKind::Unavailable),
            (MySql, "1045", Class::Refused, ErrorKind::Denied),
            (MySql, "1049", Class::Refused, ErrorKind::Invalid),
            (MySql, "1142", Class::Refused, ErrorKind::Denied),
            (MySql, "1290", Class::Refused, ErrorKind::Unavailable),
            (Sqlite, "5", Class::Limit, ErrorKind::Unavailable),
            (Sqlite, "517", Class::Conflict, ErrorKind::Unavailable),
            (Sqlite, "8", Class::Refused, ErrorKind::Denied),
        ] {
            let failure = Failure::new(database, Some(code), std::io::Error::other("x"));
            assert_eq!((failure.class, failure.error.kind()), (class, kind), "{code}");
        }
        let failure = Failure::new(Postgres, None, std::io::Error::other("x"));
        assert_eq!(failure.class, Class::Unanswered);
    }
}
