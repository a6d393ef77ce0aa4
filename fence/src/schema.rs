//! This module says what happens if a table is missing.

/// This selects what happens if a table of the fence is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Schema {
    /// The table is created if it is missing. If it exists, nothing is changed, and the user needs
    /// no privilege to create it.
    #[default]
    Create,
    /// A missing table is an error, because the application's own migrations create it.
    ///
    /// The error is [`Invalid`](leasehold_core::ErrorKind::Invalid).
    Require,
}
