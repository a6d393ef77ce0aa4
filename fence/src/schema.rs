//! What may be done about a table that is missing.

/// Selects what happens if the fence's table or collection is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Schema {
    /// Creates it. If it exists, nothing is changed and no right to create it is needed.
    #[default]
    Create,
    /// Fails: the application's own migrations create it.
    ///
    /// The error is [`Invalid`](leasehold_core::ErrorKind::Invalid). A datastore without a schema
    /// ignores this.
    Require,
}
