//! Translates the driver's errors into errors of the store.

use std::fmt::Display;

use ::redis::{ErrorKind as CauseKind, RedisError, RedisResult, ServerErrorKind, Value};

use crate::common::timeout::CHECK_REACHABLE;
use crate::{Error, ErrorKind};

/// Describes an error of connecting: no part of the call was sent.
pub(super) fn connecting(cause: RedisError) -> Error {
    described(cause, ErrorKind::Unavailable)
}

/// Describes an error of a call that was sent.
pub(super) fn calling(cause: RedisError) -> Error {
    described(cause, ErrorKind::OutcomeUnknown)
}

/// Describes the error of a call that changes nothing.
pub(super) fn reading(error: Error) -> Error {
    if !error.is_outcome_unknown() {
        return error;
    }
    Error::new(ErrorKind::Unavailable, "the connection to the server failed or timed out")
        .with_fix(CHECK_REACHABLE)
        .with_source(error)
}

/// Returns the error of one node of a cluster.
pub(super) fn of_node(node: impl Display, cause: Error) -> Error {
    Error::new(cause.kind(), format!("the cluster's node {node} did not answer"))
        .with_fix(CHECK_REACHABLE)
        .with_source(cause)
}

/// Returns whether the server does not have the script.
pub(super) fn is_no_script(cause: &RedisError) -> bool {
    cause.kind() == CauseKind::Server(ServerErrorKind::NoScript)
}

/// Returns whether the server refuses a command whose keys have different slots.
pub(super) fn is_cross_slot(cause: &RedisError) -> bool {
    cause.kind() == CauseKind::Server(ServerErrorKind::CrossSlot)
}

/// Returns a reply that is an error as an error. Errors within a list stay there, since each is the
/// answer to a request of its own.
pub(super) fn extract(reply: Value) -> RedisResult<Value> {
    match reply {
        Value::ServerError(cause) => Err(cause.into()),
        reply => Ok(reply),
    }
}

/// Returns the error of a reply that has too few parts.
pub(super) fn missing_replies() -> RedisError {
    RedisError::from((CauseKind::Parse, "replies are missing"))
}

/// Returns the error of a reply with parts that belong to no request.
pub(super) fn unexpected_replies() -> RedisError {
    RedisError::from((CauseKind::Parse, "unexpected replies"))
}

/// The errors of a server that cannot serve as the primary, at least for now. The next connection
/// follows the address, or the sentinels, again.
const OF_CONNECTION: &[&str] =
    &["READONLY", "MASTERDOWN", "LOADING", "NOAUTH", "NOREPLICAS", "MISCONF", "UNBLOCKED"];

/// Returns whether another connection may succeed, such as one to the new primary after a failover.
pub(super) fn is_of_connection(cause: &RedisError) -> bool {
    !matches!(cause.kind(), CauseKind::Server(_) | CauseKind::Extension)
        || OF_CONNECTION.contains(&code(cause))
}

/// Returns whether the user may not run the command, or the server does not know it.
pub(super) fn may_not_ask(cause: &RedisError) -> bool {
    let detail = cause.detail().unwrap_or_default();
    cause.code() == Some("NOPERM") || detail.contains("unknown command")
}

/// Returns whether TLS failed because of a certificate. The driver passes errors of rustls on as
/// text.
fn is_certificate_error(cause: &RedisError) -> bool {
    let message = cause.to_string().to_ascii_lowercase();
    message.contains("certificate") || message.contains("received fatal alert")
}

/// Returns the command that the server reports as unknown.
fn unknown_command(detail: &str) -> Option<&str> {
    let (_, named) = detail.split_once("unknown command")?;
    let quoted = |c: char| matches!(c, '\'' | '`' | '"');
    named.trim_start().strip_prefix(quoted)?.split(quoted).next()
}

/// Returns the error for commands that the server does not know.
pub(super) fn no_command(commands: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the server does not know the command {commands}"))
        .with_fix(
            "remove rename-command for it from the server's configuration; Redis 6.2 and Valkey \
             7.2, and later, have it",
        )
}

const NO_PASSWORD: (&str, &str) = (
    "the server requires a password",
    "put it into the URL: redis://USER:PASSWORD@HOST, or redis://:PASSWORD@HOST",
);

const REPLICA: (&str, &str) = (
    "this server is a replica, and its writes are not replicated",
    "use the primary or its sentinels in the URL; after a failover, retry",
);

pub(super) fn replica() -> Error {
    Error::new(ErrorKind::Unavailable, REPLICA.0).with_fix(REPLICA.1)
}

pub(super) fn sentinel() -> Error {
    Error::new(ErrorKind::Unavailable, "this server is a sentinel, which stores no data")
        .with_fix("write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE")
}

/// Returns the text of the driver's error.
pub(super) fn cause_of(error: &Error) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}

/// Returns the server's error code. If a script fails with an error or returns one, Redis 6 puts the
/// code into the message.
fn code(cause: &RedisError) -> &str {
    let code = cause.code().unwrap_or_default();
    let detail = cause.detail().unwrap_or_default();
    let within = ["READONLY", "OOM", "MISCONF", "NOREPLICAS", "MASTERDOWN", "WRONGTYPE"];
    match code {
        "ERR" | "@user_script:" => {
            within.into_iter().find(|word| detail.contains(&format!("-{word} "))).unwrap_or(code)
        }
        code => code,
    }
}

fn described(cause: RedisError, broken: ErrorKind) -> Error {
    use ErrorKind::{Corrupt, Denied, Invalid, Unavailable, Unsupported};
    let code = code(&cause).to_owned();
    let detail = cause.detail().unwrap_or_default().to_owned();
    if let Some(command) = unknown_command(&detail) {
        return no_command(command).with_source(cause);
    }
    let (kind, message, fix) = match code.as_str() {
        "NOAUTH" => (Denied, NO_PASSWORD.0, NO_PASSWORD.1),
        "WRONGPASS" => {
            (Denied, "the server did not accept the user and password", "check those in the URL")
        }
        "NOPERM" => (
            Denied,
            "the user lacks a permission",
            "grant what the page of this backend lists: ACL SETUSER USER ~NAMESPACE:lock:* \
             ~NAMESPACE:instance:* &NAMESPACE:hints +@scripting …",
        ),
        "READONLY" => (Unavailable, REPLICA.0, REPLICA.1),
        "DENIED" => (
            Denied,
            "the server is in protected mode and accepts local connections only",
            "set a password (requirepass or ACL SETUSER), or set protected-mode no on a trusted \
             network",
        ),
        "WRONGTYPE" => {
            (Corrupt, "a lock's key holds a foreign value", "use another namespace, or delete it")
        }
        "LOADING" => (Unavailable, "the server is loading its data", "retry later"),
        "CLUSTERDOWN" | "TRYAGAIN" | "MASTERDOWN" | "MOVED" | "ASK" => (
            Unavailable,
            "the part of the cluster that has this lock is not available",
            "are its nodes up? (CLUSTER INFO); a cluster needs a redis+cluster:// URL",
        ),
        "BUSY" => (Unavailable, "the server is busy with a script", "see SCRIPT KILL"),
        "OOM" => (
            Unavailable,
            "the server is out of memory",
            "free memory, or raise maxmemory; locks need little",
        ),
        "MISCONF" => (
            Unavailable,
            "the server cannot save its data and refuses writes",
            "check its log; is its disk full?",
        ),
        "NOREPLICAS" => (
            Unavailable,
            "the server has fewer replicas than min-replicas-to-write requires",
            "are they up and connected? (INFO replication)",
        ),
        "NOSCRIPT" => (Unavailable, "the server keeps losing a script", ""),
        _ if detail.contains("max number of clients") => {
            (Unavailable, "the server has too many clients", "raise maxclients")
        }
        _ if detail.contains("NOPERM") || detail.contains("ACL failure") => (
            Denied,
            "the user lacks a permission that a script uses",
            "grant what the page of this backend lists",
        ),
        _ if detail.contains("Authentication required") => (Denied, NO_PASSWORD.0, NO_PASSWORD.1),
        _ if detail.contains("DB index") || detail.contains("SELECT is not allowed") => (
            Invalid,
            "the database number in the URL does not exist",
            "use a number below the server's `databases`; a cluster has only number 0",
        ),
        _ if detail.contains("Unknown") && detail.contains("called from script") => (
            Unsupported,
            "the server does not know a command that a script uses",
            "remove rename-command from the server's configuration; on Redis 7 and Valkey, opening \
             names the command",
        ),
        _ => match cause.kind() {
            CauseKind::InvalidClientConfig => {
                (Invalid, "the driver does not accept the URL", "check its parts")
            }
            CauseKind::AuthenticationFailed => (
                Denied,
                "the server did not accept the user and password",
                "check those in the URL",
            ),
            CauseKind::Server(_) | CauseKind::Extension => {
                (Unavailable, "the server returned an error", "see the cause")
            }
            CauseKind::Io if is_certificate_error(&cause) => (
                Denied,
                "this client and the server do not trust each other's certificates",
                "name the authority's certificate in the URL, and this client's own if the server \
                requires one: \
                 ?ca=FILE&cert=FILE&key=FILE",
            ),
            CauseKind::Io if broken == Unavailable => (
                Unavailable,
                "the server cannot be reached",
                "is it up, reachable from here, not in protected mode, and does the URL \
                 say whether it speaks TLS?",
            ),
            _ if broken == Unavailable => (
                Unavailable,
                "the server does not speak the Redis protocol",
                "check host and port, and whether it speaks TLS (rediss://)",
            ),
            _ => (broken, "the connection to the server failed", CHECK_REACHABLE),
        },
    };
    let error = Error::new(kind, message).with_source(cause);
    if fix.is_empty() { error } else { error.with_fix(fix) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_is_named() {
        for (detail, command) in [
            ("unknown command 'EVALSHA', with args beginning with: 'a'", Some("EVALSHA")),
            ("unknown command `EVAL`, with args", Some("EVAL")),
            ("unknown command", None),
            ("something else", None),
        ] {
            assert_eq!(unknown_command(detail), command, "{detail}");
        }
    }
}
