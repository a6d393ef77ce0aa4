//! There is one error type: it has a kind for the program and a message for the operator.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// All of Leasehold's fallible functions return this result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error says what a caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A write may or may not have happened: its reply was lost, cut off or too late.
    ///
    /// Never treat this as a failure. A retried acquire with the same lease id is safe.
    OutcomeUnknown,
    /// The store could not be reached or was too busy, and nothing was written.
    Unavailable,
    /// The caller's input is invalid: a name, a setting or a URL. Nothing was written.
    Invalid,
    /// The store or this build does not support the operation.
    Unsupported,
    /// Access was denied: a privilege is missing, a password is wrong or a file is not writable.
    Denied,
    /// The store contains data that Leasehold did not write.
    Corrupt,
    /// A lock was not acquired within the caller's time limit.
    TimedOut,
    /// The name is in use as another kind of lock, or its queue is full. Nothing was written.
    Conflict,
}

impl ErrorKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::OutcomeUnknown => "outcome unknown",
            Self::Unavailable => "unavailable",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Denied => "denied",
            Self::Corrupt => "corrupt",
            Self::TimedOut => "timed out",
            Self::Conflict => "conflict",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error says what failed, on which store and lock, and what to do about it.
///
/// `Display` prints this level alone; [`source`](StdError::source) returns the cause. Errors are
/// cheap to clone: one failed heartbeat is reported to every lease in it.
///
/// ```
/// use leasehold_core::{Error, ErrorKind, LockName};
///
/// let error = Error::new(ErrorKind::Unavailable, "the datastore did not answer within 2s")
///     .during("renew")
///     .for_lock(&LockName::new("nightly-report")?)
///     .on_store("postgres://db/app")
///     .with_fix("is it up, and reachable from here?");
/// assert!(error.is_unavailable());
/// assert_eq!(
///     error.to_string(),
///     "renew of lock \"nightly-report\" on postgres://db/app: the datastore did not answer \
///      within 2s; is it up, and reachable from here?",
/// );
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Error(Arc<Repr>);

#[derive(Clone)]
struct Repr {
    kind: ErrorKind,
    message: String,
    operation: Option<&'static str>,
    lock: Option<Arc<str>>,
    store: Option<String>,
    fix: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Creates an error of that kind. The message is lower case and has no full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Repr {
            kind,
            message: message.into(),
            operation: None,
            lock: None,
            store: None,
            fix: None,
            source: None,
        }))
    }

    /// Creates an error of the kind [`ErrorKind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Names the operation that failed, unless a deeper level already did.
    #[must_use]
    pub fn during(self, operation: &'static str) -> Self {
        self.edit(|repr| {
            repr.operation.get_or_insert(operation);
        })
    }

    /// Names the lock concerned, unless a deeper level already did.
    #[must_use]
    pub fn for_lock(self, name: impl AsRef<str>) -> Self {
        self.edit(|repr| {
            repr.lock.get_or_insert_with(|| name.as_ref().into());
        })
    }

    /// Names the store concerned, unless a deeper level already did.
    #[must_use]
    pub fn on_store(self, label: &str) -> Self {
        self.edit(|repr| {
            repr.store.get_or_insert_with(|| label.to_owned());
        })
    }

    /// Adds what an operator can do about the error.
    #[must_use]
    pub fn with_fix(self, fix: impl Into<String>) -> Self {
        self.edit(|repr| repr.fix = Some(fix.into()))
    }

    /// Adds the cause, which [`source`](StdError::source) returns.
    #[must_use]
    pub fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.edit(|repr| repr.source = Some(Arc::new(source)))
    }

    fn edit(mut self, change: impl FnOnce(&mut Repr)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the operation that failed, if it is named.
    pub(crate) fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// Returns whether a write may or may not have happened.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        self.kind() == ErrorKind::OutcomeUnknown
    }

    /// Returns whether the store could not be reached and nothing was written.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.kind() == ErrorKind::Unavailable
    }

    /// Returns whether the caller's input was refused.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.kind() == ErrorKind::Invalid
    }

    /// Returns whether the store or this build does not support the operation.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.kind() == ErrorKind::Unsupported
    }

    /// Returns whether a lock was not acquired in time.
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        self.kind() == ErrorKind::TimedOut
    }

    /// Returns whether the same call may succeed later without a change by the caller.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::OutcomeUnknown | ErrorKind::Unavailable | ErrorKind::TimedOut
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repr { operation, lock, store, message, fix, .. } = &*self.0;
        let subject = operation.is_some() || lock.is_some() || store.is_some();
        match (operation, lock) {
            (Some(operation), Some(lock)) => write!(f, "{operation} of lock {lock:?}")?,
            (Some(operation), None) => write!(f, "{operation}")?,
            (None, Some(lock)) => write!(f, "lock {lock:?}")?,
            (None, None) if store.is_some() => f.write_str("store")?,
            (None, None) => {}
        }
        if let Some(store) = store {
            let link = if operation.is_some() || lock.is_some() { " on " } else { " " };
            write!(f, "{link}{store}")?;
        }
        if subject {
            f.write_str(": ")?;
        }
        f.write_str(message)?;
        if let Some(fix) = fix {
            write!(f, "; {fix}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.0.kind).field("message", &self.to_string());
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_error_keeps_its_lock_and_store() {
        let inner = Error::new(ErrorKind::Corrupt, "row has no token").on_store("a").during("list");
        assert_eq!(inner.on_store("b").during("status").to_string(), "list on a: row has no token");
    }

    #[test]
    fn display_prints_only_its_own_level() {
        let cause = std::io::Error::other("disk on fire");
        let error = Error::new(ErrorKind::Unavailable, "cannot write").with_source(cause);
        assert_eq!(error.to_string(), "cannot write");
        assert_eq!(error.source().unwrap().to_string(), "disk on fire");
    }

    #[test]
    fn an_error_with_only_a_store_reads_as_a_sentence() {
        let error = Error::new(ErrorKind::Denied, "read-only file").on_store("sqlite:/x");
        assert_eq!(error.to_string(), "store sqlite:/x: read-only file");
    }
}
