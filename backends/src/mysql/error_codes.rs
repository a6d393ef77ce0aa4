//! This module says what MySQL's and MariaDB's errors mean to a caller.

use std::io;

use sqlx::MySql;
use sqlx::mysql::MySqlDatabaseError;

use crate::sql::schema::CREATE_IT;
use crate::sql::{Description, ErrorCodes, error};
use crate::{Error, ErrorKind};

/// This message says why nothing can be written here.
pub(super) const READ_ONLY: &str =
    "the server accepts no writes: it is a replica, or read_only is on";
/// This is the fix for [`READ_ONLY`].
pub(super) const USE_PRIMARY: &str = "use the primary server's address in the URL";

/// Describes an error that left the database as it was.
pub(super) fn not_written(error: sqlx::Error) -> Error {
    error::not_written::<MySql>(error)
}

/// Returns the number of an error of the server's.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(error.number())
}

fn is_any(error: &sqlx::Error, numbers: &[u16]) -> bool {
    number(error).is_some_and(|number| numbers.contains(&number))
}

impl ErrorCodes for MySql {
    const OTHER_PROTOCOL: &'static str = "the server does not speak the MySQL protocol";
    const CHECK_SERVER: &'static str =
        "does a MySQL or MariaDB server listen at that host and port?";
    const CHECK_TLS: &'static str =
        "check ssl-mode and ssl-ca in the URL and the server's certificate";
    const CHECK_FILES: &'static str = "check socket, ssl-ca, ssl-cert and ssl-key in the URL";

    fn describe(error: &sqlx::Error) -> Option<Description> {
        use ErrorKind::{Corrupt, Denied, Invalid, Unavailable};
        if let sqlx::Error::Configuration(cause) = error
            && cause.to_string().contains("RSA")
        {
            // This build cannot encrypt a password on such a connection, so others could read it.
            return Some((
                Denied,
                "the server asks for a password, and the connection is not encrypted",
                "remove ssl-mode from the URL, or use one that encrypts",
            ));
        }
        Some(match number(error)? {
            1045 | 1698 | 1862 | 3118 | 4151 => (
                Denied,
                "the server refuses this user",
                "check the user and password, and from which hosts the user may connect",
            ),
            1044 | 1142 | 1143 | 1227 | 1370 => (
                Denied,
                "the user lacks a privilege",
                "GRANT SELECT, INSERT, UPDATE on the table of locks to it, DELETE to prune, or \
                 CREATE on the database to let it create that",
            ),
            3159 | 4150 => (
                Denied,
                "the server accepts encrypted connections only",
                "remove ssl-mode from the URL, or use one that encrypts",
            ),
            // Another server may become the primary, and the name lead to it.
            1290 | 1792 | 1836 | 3170 => (Unavailable, READ_ONLY, USE_PRIMARY),
            1049 => (Invalid, "the database does not exist", "create it, or name another"),
            1046 => (Invalid, "no database is chosen", "name one in the URL"),
            1146 | 1051 => (Invalid, "the lock table is missing", CREATE_IT),
            1054 | 1103 | 1109 | 1347 | 1348 | 1364 | 1471 => (
                Corrupt,
                "the lock table does not match leasehold's schema",
                "was it changed at run time?",
            ),
            1264 | 1366 | 1406 | 1048 | 1690 | 3140..=3143 | 4037 | 4038 => (
                Corrupt,
                "the row has invalid values",
                "repair or delete it; fencing tokens keep growing",
            ),
            1205 | 1213 | 1020 | 3101 => (
                Unavailable,
                "conflicting transactions",
                "is the row or table locked by a transaction, ALTER TABLE or backup?",
            ),
            1021 | 1114 => (Unavailable, "the server's disk is full", "free some space"),
            1040 | 1203 | 1226 | 1461 => (
                Unavailable,
                "the server accepts no more connections or statements",
                "raise max_connections or max_prepared_stmt_count",
            ),
            1053 | 1077..=1080 | 3032 | 3168 => (Unavailable, "the server is shutting down", ""),
            1047 | 3100 => {
                (Unavailable, "the server is not part of its cluster", "check the cluster's state")
            }
            1927 | 3169 | 4031 => (Unavailable, "the server ended the session", ""),
            1129 | 1130 => (Denied, "the server accepts no connections from this host", ""),
            1317 | 1969 | 3024 => {
                (Unavailable, "the server cancelled the statement", "is it overloaded?")
            }
            1034 | 1194 | 1195 => {
                (Corrupt, "the server's data is damaged", "check the server's log")
            }
            _ => return None,
        })
    }

    /// An error of the server's means that its statement was rolled back, except for those that end
    /// the session or the commit's replication, and for those that a proxy gives in the server's
    /// place. A session that the server ended because it was idle (4031) did nothing.
    fn leaves_doubt(error: &sqlx::Error) -> Option<bool> {
        let number = number(error)?;
        Some(matches!(
            number,
            1053 | 1077..=1080
                | 1158..=1161
                | 1180
                | 1317
                | 1927
                | 2000..=2999
                | 3100
                | 3169
                | 9001
        ))
    }

    fn is_conflict(error: &sqlx::Error) -> bool {
        is_any(error, &[1020, 1205, 1213, 3101])
    }

    fn is_stale_statement(error: &sqlx::Error) -> bool {
        is_any(error, &[1243, 1615])
    }

    fn is_creation_race(error: &sqlx::Error) -> bool {
        is_any(error, &[1050, 1205, 1213, 1684])
    }

    /// Returns whether TLS did not accept what the server sent, after the server said that it
    /// speaks TLS.
    fn is_tls_refusal(cause: &io::Error) -> bool {
        cause.kind() == io::ErrorKind::InvalidData
    }
}
