//! A fence has one error type, which tells a stale term from a failure.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use leasehold_core::{FencingToken, LockName};

/// The operations of a fence return this result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a fence says whether the term is over, and whether the call may be repeated.
///
/// ```
/// use leasehold_fence::Error;
///
/// fn may_continue(error: &Error) -> bool {
///     match error {
///         Error::Stale(_) => false, // roll back, and end the term
///         Error::Blocked(blocked) => {
///             for session in &blocked.sessions {
///                 eprintln!("still open: {session}");
///             }
///             true // raise again to wait longer, or end those sessions first
///         }
///         error => error.is_transient(), // run the whole transaction again
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A newer term has raised its fence, or has set its intent: this one must not write again.
    ///
    /// Roll the transaction back, and end the term.
    Stale(Stale),
    /// The fence was not raised for this term, which must come before the first check.
    ///
    /// SQLite, Redis and etcd also return this error while the fence is being raised.
    NotRaised(NotRaised),
    /// Raising the fence waited until its time limit expired, in most cases for transactions of
    /// older terms that have passed a check.
    ///
    /// Those transactions may still commit. Older terms are refused once the intent is set, which
    /// is the first step of a raise; they may still pass a check if the limit expired before that,
    /// and on SQLite. Raise again to wait longer.
    Blocked(Blocked),
    /// The datastore ended the transaction because of a concurrent one, or a fence of the same lock
    /// is being raised: that of this term, after [`Blocked`](Self::Blocked), or of another holder.
    ///
    /// Roll back, and run the whole transaction again.
    Conflict(leasehold_core::Error),
    /// The datastore failed, or the call was refused.
    Datastore(leasehold_core::Error),
}

/// This error names the term that is over, and the newer one that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stale {
    /// The lock has this name.
    pub name: LockName,
    /// The term that is over has this token.
    pub token: FencingToken,
    /// Tokens below this one are refused now. It is missing if the datastore does not show it.
    pub newer: Option<FencingToken>,
}

/// This error names the term whose fence was not raised.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotRaised {
    /// The lock has this name.
    pub name: LockName,
    /// The term has this token.
    pub token: FencingToken,
}

/// This error says for how long raising a fence waited, and for which sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blocked {
    /// The lock has this name.
    pub name: LockName,
    /// The term that waits has this token.
    pub token: FencingToken,
    /// Raising the fence has waited for this long.
    pub waited: Duration,
    /// It waited for the transactions of these sessions. This is empty if the server does not show
    /// them.
    pub sessions: Vec<Session>,
}

/// A session of the database server has an open transaction for which raising the fence waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// The server gave the session this number: the process id on PostgreSQL, the connection id on
    /// MySQL.
    pub id: i64,
    /// The server describes the session by this text, which is empty if the server shows nothing.
    pub description: String,
}

impl Stale {
    /// Creates the description of a term that is over.
    #[must_use]
    pub fn new(name: &LockName, token: FencingToken, newer: Option<FencingToken>) -> Self {
        Self { name: name.clone(), token, newer }
    }
}

impl NotRaised {
    /// Creates the description of a term whose fence was not raised.
    #[must_use]
    pub fn new(name: &LockName, token: FencingToken) -> Self {
        Self { name: name.clone(), token }
    }
}

impl Blocked {
    /// Creates the description of a wait for those sessions.
    #[must_use]
    pub fn new(
        name: &LockName,
        token: FencingToken,
        waited: Duration,
        sessions: Vec<Session>,
    ) -> Self {
        Self { name: name.clone(), token, waited, sessions }
    }
}

impl Session {
    /// Creates the description of a session with that number.
    #[must_use]
    pub fn new(id: i64, description: impl Into<String>) -> Self {
        Self { id, description: description.into() }
    }
}

impl Error {
    /// Returns whether a newer term has raised its fence.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Stale(_))
    }

    /// Returns whether raising the fence waited until its time limit expired.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        matches!(self, Self::Blocked(_))
    }

    /// Returns whether the whole transaction, or the same call to raise the fence, may succeed if
    /// it is repeated.
    ///
    /// This is also true where the outcome of a commit is not known
    /// ([`OutcomeUnknown`](leasehold_core::ErrorKind::OutcomeUnknown)): find out first whether the
    /// transaction was committed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Stale(_) | Self::NotRaised(_) => false,
            Self::Blocked(_) | Self::Conflict(_) => true,
            Self::Datastore(error) => error.is_transient(),
        }
    }
}

impl From<leasehold_core::Error> for Error {
    fn from(error: leasehold_core::Error) -> Self {
        Self::Datastore(error)
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.id)?;
        if self.description.is_empty() { Ok(()) } else { write!(f, " ({})", self.description) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale(Stale { name, token, newer }) => {
                write!(f, "the term {token} of lock {name:?} is over: ")?;
                match newer {
                    Some(newer) => write!(f, "tokens below {newer} are refused")?,
                    None => f.write_str("a newer term has raised its fence")?,
                }
                f.write_str("; roll back, and end the term")
            }
            Self::NotRaised(NotRaised { name, token }) => write!(
                f,
                "the fence of lock {name:?} was not raised for the term {token}; call raise before \
                 the first check"
            ),
            Self::Blocked(Blocked { name, token, waited, sessions }) => {
                write!(
                    f,
                    "raising the fence of lock {name:?} for the term {token} waited {waited:?} for \
                     other transactions"
                )?;
                for (at, session) in sessions.iter().enumerate() {
                    write!(f, "{} {session}", if at == 0 { ":" } else { "," })?;
                }
                let those = if sessions.is_empty() { "their" } else { "those" };
                write!(f, "; wait longer, or end {those} sessions")
            }
            Self::Conflict(error) | Self::Datastore(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Stale(_) | Self::NotRaised(_) | Self::Blocked(_) => None,
            Self::Conflict(error) | Self::Datastore(error) => error.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u64) -> FencingToken {
        FencingToken::new(number).unwrap()
    }

    #[test]
    fn a_message_names_the_term_and_what_it_waited_for() {
        let name = LockName::new("ledger").unwrap();
        let stale = Error::Stale(Stale::new(&name, token(7), Some(token(9))));
        assert_eq!(
            stale.to_string(),
            "the term 7 of lock \"ledger\" is over: tokens below 9 are refused; roll back, and end \
             the term"
        );
        let sessions = vec![Session::new(12, "idle in transaction"), Session::new(13, "")];
        let waited = Duration::from_secs(3);
        let blocked = Error::Blocked(Blocked::new(&name, token(9), waited, sessions));
        assert_eq!(
            blocked.to_string(),
            "raising the fence of lock \"ledger\" for the term 9 waited 3s for other transactions: \
             session 12 (idle in transaction), session 13; wait longer, or end those sessions"
        );
        let untold = Error::Blocked(Blocked::new(&name, token(9), waited, Vec::new()));
        assert!(untold.to_string().ends_with("transactions; wait longer, or end their sessions"));
    }

    #[test]
    fn a_stale_term_is_never_retried() {
        let name = LockName::new("ledger").unwrap();
        assert!(!Error::Stale(Stale::new(&name, token(7), None)).is_transient());
        assert!(Error::Conflict(leasehold_core::Error::invalid("x")).is_transient());
    }
}
