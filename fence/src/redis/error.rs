//! This module says what the errors of Redis and of the fence's scripts mean.

use ::redis::{ErrorKind as CauseKind, RedisError, ServerErrorKind};
use leasehold_core::{Error as CoreError, ErrorKind, FencingToken};

use crate::{Error, NotRaised, Stale, Term};

/// Describes the error of a script or command that uses a term's fence, whose key is that one.
pub(super) fn describe(cause: RedisError, term: &Term, key: &str) -> Error {
    let (name, token) = (term.name(), term.token());
    match cause.code() {
        Some("LEASEHOLDSTALE") => {
            let newer = cause.detail().and_then(|detail| detail.trim().parse().ok());
            let newer = newer.and_then(|number| FencingToken::new(number).ok());
            return Error::Stale(Stale::new(name, token, newer));
        }
        Some("LEASEHOLDNOTRAISED") => return Error::NotRaised(NotRaised::new(name, token)),
        Some("LEASEHOLDFOREIGN") => return foreign(term, key),
        Some("LEASEHOLDUNBOUND") => {
            let message = "the last key and arguments of the script's call are not the fence's";
            return CoreError::invalid(message)
                .with_fix("call RedisFence::bind once, after all other keys and arguments")
                .for_lock(name)
                .into();
        }
        _ => {}
    }
    let (kind, message, fix) = match cause.kind() {
        CauseKind::Server(ServerErrorKind::NoPerm) => (
            ErrorKind::Denied,
            "the user lacks a permission",
            "allow it the commands and the keys of the call, with ACL SETUSER",
        ),
        CauseKind::AuthenticationFailed => {
            (ErrorKind::Denied, "the server did not accept the user and password", "check both")
        }
        CauseKind::Server(_) | CauseKind::Extension if is_before_any_write(&cause) => {
            (ErrorKind::Unavailable, "the server returned an error", "see its cause")
        }
        CauseKind::Server(_) | CauseKind::Extension => (
            ErrorKind::OutcomeUnknown,
            "the server returned an error, maybe after some writes",
            "see its cause, and read the data before you repeat the call",
        ),
        _ => (
            ErrorKind::OutcomeUnknown,
            "the connection to the server failed",
            "read the data before you repeat the call",
        ),
    };
    CoreError::new(kind, message).with_fix(fix).with_source(cause).for_lock(name).into()
}

/// Returns the error for a key that holds something else.
pub(super) fn foreign(term: &Term, key: &str) -> Error {
    CoreError::new(ErrorKind::Corrupt, format!("the key {key:?} does not hold a fence"))
        .with_fix("use another namespace, or delete it")
        .for_lock(term.name())
        .into()
}

/// Returns whether that error means that the script or transaction was refused before its first
/// write.
///
/// Any other error may come from a later command of the application's script, or from its own code.
fn is_before_any_write(cause: &RedisError) -> bool {
    const CODES: [&str; 15] = [
        "ASK",
        "BUSY",
        "CLUSTERDOWN",
        "CROSSSLOT",
        "EXECABORT",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "MOVED",
        "NOAUTH",
        "NOREPLICAS",
        "NOSCRIPT",
        "OOM",
        "READONLY",
        "TRYAGAIN",
    ];
    cause.code().is_some_and(|code| CODES.contains(&code))
}

#[cfg(test)]
mod tests {
    use ::redis::parse_redis_value;
    use leasehold_core::LockName;

    use super::*;

    #[test]
    fn an_error_of_the_applications_own_code_may_come_after_a_write() {
        let term = Term::new(&LockName::new("ledger").unwrap(), FencingToken::new(7).unwrap());
        for (reply, kind) in [
            ("-ERR user_script:9: attempt to index a nil value", ErrorKind::OutcomeUnknown),
            ("-WRONGTYPE Operation against a key", ErrorKind::OutcomeUnknown),
            ("-READONLY You can't write", ErrorKind::Unavailable),
            ("-OOM command not allowed", ErrorKind::Unavailable),
            ("-NOPERM this user has no permissions", ErrorKind::Denied),
            ("-LEASEHOLDUNBOUND the fence must be bound once", ErrorKind::Invalid),
        ] {
            let reply = parse_redis_value(format!("{reply}\r\n").as_bytes()).unwrap();
            let error = describe(reply.extract_error().unwrap_err(), &term, "key");
            let Error::Datastore(error) = error else { panic!("{error}") };
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
