//! How a store is opened.

use std::num::NonZeroU32;

use crate::Namespace;

/// Says how a store is opened.
///
/// A function that opens a store of another crate may take these options too.
///
/// ```
/// use leasehold::{Namespace, OpenOptions, Schema};
///
/// let options = OpenOptions { namespace: Namespace::new("billing")?, ..OpenOptions::default() };
/// assert_eq!(options.schema, Schema::Create);
/// # Ok::<(), leasehold::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The namespace of the locks in the store: it names their table or prefixes their keys.
    pub namespace: Namespace,
    /// What to do where the schema, or a database file, is missing.
    pub schema: Schema,
    /// The store opens at most this many connections for its calls; `None` means the store's
    /// default.
    ///
    /// PostgreSQL, MySQL and MongoDB have such a limit. One connection for heartbeats and one for
    /// hints are not counted where the store's page says so.
    pub max_connections: Option<NonZeroU32>,
}

/// What opening a store does where its schema is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Schema {
    /// Creates it. Where it is in place, nothing is changed and no right to create it is needed.
    #[default]
    Create,
    /// Fails: the application's own migrations create it, from the text of
    /// [`url::schema`](crate::url::schema).
    ///
    /// The error is [`Invalid`](crate::ErrorKind::Invalid). A store without a schema ignores this.
    Require,
}
