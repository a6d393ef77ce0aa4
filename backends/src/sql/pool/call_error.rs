//! Why a call on a connection failed.

/// Why a call has no answer.
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
