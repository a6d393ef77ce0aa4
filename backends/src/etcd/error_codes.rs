//! Translates the errors of etcd into errors of the store.

use etcd_client::Error as EtcdError;

use crate::{Error, ErrorKind};

/// The answer to a request, or the error of the driver.
pub(super) type RequestResult<T> = std::result::Result<T, EtcdError>;

/// gRPC status codes, <https://grpc.io/docs/guides/status-codes/>.
mod code {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
    pub(super) const OUT_OF_RANGE: i32 = 11;
    pub(super) const UNIMPLEMENTED: i32 = 12;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

/// How far a failed request may have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendState {
    /// There was no connection, so no request was sent.
    NotSent,
    /// The member has no leader to forward the request to, and did nothing. Another member may have
    /// one.
    NotAccepted,
    /// The server refused, and did nothing.
    Refused,
    /// It may have had an effect.
    Unknown,
}

pub(super) fn send_state(error: &EtcdError) -> SendState {
    match error {
        EtcdError::GRpcStatus(status) => match i32::from(status.code()) {
            code::INVALID_ARGUMENT
            | code::NOT_FOUND
            | code::PERMISSION_DENIED
            | code::RESOURCE_EXHAUSTED
            | code::FAILED_PRECONDITION
            | code::OUT_OF_RANGE
            | code::UNIMPLEMENTED
            | code::UNAUTHENTICATED => SendState::Refused,
            _ if has_no_leader(status.message()) => SendState::NotAccepted,
            // tonic reports this in no other way. If the text changes, the outcome is unknown.
            _ if format!("{status:?}").contains("ConnectError(") => SendState::NotSent,
            _ => SendState::Unknown,
        },
        EtcdError::InvalidArgs(_)
        | EtcdError::InvalidUri(_)
        | EtcdError::InvalidMetadataValue(_)
        | EtcdError::EndpointError(_)
        | EtcdError::EndpointsNotManaged => SendState::Refused,
        _ => SendState::Unknown,
    }
}

/// Returns whether a member reports, before it does anything, that it knows of no leader: it is cut
/// off from its peers, or an election is under way. A member reports this for requests that require
/// a leader, and when its Raft node drops a proposal that it cannot forward.
fn has_no_leader(message: &str) -> bool {
    matches!(message, "etcdserver: no leader" | "raft proposal dropped")
}

/// Returns whether the etcd lease has expired or never existed.
pub(super) fn is_no_lease(error: &EtcdError) -> bool {
    match error {
        EtcdError::GRpcStatus(status) => {
            i32::from(status.code()) == code::NOT_FOUND
                && status.message().contains("lease not found")
        }
        // The driver reports a keep-alive reply with a ttl of 0 this way.
        EtcdError::LeaseKeepAliveError(message) => message.contains("lease not found"),
        _ => false,
    }
}

/// Returns the error for keys that others changed at each try.
pub(super) fn contended() -> Error {
    Error::new(ErrorKind::Unavailable, "the keys changed each time they were read")
}

/// Returns the error of a call that changes nothing on which a lease depends.
pub(super) fn reading(error: EtcdError) -> Error {
    described(error, ErrorKind::Unavailable)
}

/// Returns the error of a call that writes.
pub(super) fn writing(error: EtcdError) -> Error {
    let otherwise = match send_state(&error) {
        SendState::Unknown => ErrorKind::OutcomeUnknown,
        SendState::NotSent | SendState::NotAccepted | SendState::Refused => ErrorKind::Unavailable,
    };
    described(error, otherwise)
}

fn described(error: EtcdError, otherwise: ErrorKind) -> Error {
    let (kind, message, fix) = classify(&error, otherwise);
    let described = Error::new(kind, message).with_source(error);
    if fix.is_empty() { described } else { described.with_fix(fix) }
}

fn classify(error: &EtcdError, otherwise: ErrorKind) -> (ErrorKind, String, &'static str) {
    use ErrorKind::{Denied, Invalid, Unavailable, Unsupported};
    let EtcdError::GRpcStatus(status) = error else {
        return match error {
            EtcdError::InvalidArgs(message) => (Invalid, message.clone(), ""),
            EtcdError::InvalidUri(_) => {
                (Invalid, "an address is not valid".to_owned(), "write HOST:PORT")
            }
            _ => (otherwise, "the connection to etcd failed".to_owned(), IS_IT_UP),
        };
    };
    let message = status.message().strip_prefix("etcdserver: ").unwrap_or(status.message());
    let has = |text: &str| message.contains(text);
    let etcd_message = format!("etcd says: {}", message.chars().take(300).collect::<String>());
    match i32::from(status.code()) {
        code::INVALID_ARGUMENT if has("authentication failed") => {
            (Denied, "the user or the password is wrong".to_owned(), "check both in the URL")
        }
        code::INVALID_ARGUMENT if has("user name is empty") => (
            Denied,
            "etcd requires a user and a password".to_owned(),
            "put both into the URL: etcd://USER:PASSWORD@HOST",
        ),
        code::FAILED_PRECONDITION if has("authentication is not enabled") => (
            Denied,
            "authentication is not enabled in this etcd".to_owned(),
            "leave user and password out of the URL, or enable it",
        ),
        code::PERMISSION_DENIED => (
            Denied,
            "this user may not read and write the keys of the namespace".to_owned(),
            "grant its role readwrite on their prefix: etcdctl role grant-permission ROLE \
             readwrite --prefix=true /NAMESPACE/",
        ),
        code::UNAUTHENTICATED => {
            (Denied, "etcd does not accept the authentication".to_owned(), "is its clock correct?")
        }
        code::RESOURCE_EXHAUSTED if has("database space exceeded") => (
            Unavailable,
            "the database of etcd is full, and nothing was written".to_owned(),
            "compact and defragment it, then etcdctl alarm disarm",
        ),
        code::RESOURCE_EXHAUSTED => (Unavailable, etcd_message, "is it overloaded?"),
        code::UNIMPLEMENTED => (
            Unsupported,
            "the server does not speak etcd's v3 API".to_owned(),
            "is this etcd, and not a learner or a grpc-proxy of another version?",
        ),
        code::INVALID_ARGUMENT
        | code::NOT_FOUND
        | code::FAILED_PRECONDITION
        | code::OUT_OF_RANGE => (Unavailable, etcd_message, ""),
        _ if is_certificate_error(status) => (
            Denied,
            "this client and etcd do not trust each other's certificates".to_owned(),
            "name the authority's certificate in the URL, and this client's own if etcd requires \
             one: etcds://HOST?ca=FILE&cert=FILE&key=FILE",
        ),
        _ if has("not supported for learner") => {
            (Unavailable, "this member is a learner".to_owned(), "name voting members")
        }
        _ if has("corrupt") => {
            (Unavailable, etcd_message, "replace the member whose data is corrupt")
        }
        _ if has_no_leader(status.message()) => (
            Unavailable,
            "no etcd member has a leader; nothing was written".to_owned(),
            "does the cluster have a majority, and does the URL name all members?",
        ),
        _ if status.message().starts_with("etcdserver") => {
            (otherwise, etcd_message, "does the cluster have a leader and a majority?")
        }
        _ => (otherwise, "the connection to etcd failed".to_owned(), IS_IT_UP),
    }
}

/// Returns whether one side refused the other's certificate, which tonic reports only as text of
/// rustls.
fn is_certificate_error(status: &impl std::fmt::Debug) -> bool {
    let message = format!("{status:?}");
    message.contains("invalid peer certificate") || message.contains("received fatal alert")
}

pub(super) const IS_IT_UP: &str = "is etcd up, and reachable from here over HTTP/2 with this URL?";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_leader_errors_mean_not_sent() {
        for message in ["etcdserver: no leader", "raft proposal dropped"] {
            assert!(has_no_leader(message), "{message}");
        }
        // These come after a timeout, when the write may already have been forwarded.
        for message in [
            "etcdserver: request timed out",
            "etcdserver: request timed out, possibly due to previous leader failure",
            "etcdserver: leader changed",
            "etcdserver: server stopped",
        ] {
            assert!(!has_no_leader(message), "{message}");
        }
    }
}
