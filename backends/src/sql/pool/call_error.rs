//! A call error says why a call on a connection failed.

/// A call has no answer for one of these reasons.
#[derive(Debug)]
pub(crate) enum CallError {
    /// There was no connection, so nothing was sent.
    NotSent(sqlx::Error),
    /// This many earlier calls were abandoned and are unanswered, so nothing was sent.
    TooManyAbandoned(usize),
    /// The server refused, or the connection failed on the way.
    Failed(sqlx::Error),
    /// Nothing came back within [`CALL_LIMIT`].
    Unanswered,
}

/// Returns whether the server could not be reached. Trouble of this process, such as too many open
/// files or a name that is not found, does not show that.
pub(super) fn is_unreachable(error: &sqlx::Error) -> bool {
    use std::io::ErrorKind as Kind;
    let sqlx::Error::Io(error) = error else { return false };
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::UnexpectedEof
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::TimedOut
    )
}
