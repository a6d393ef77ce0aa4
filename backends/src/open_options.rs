//! The options for opening a store.

use std::num::NonZeroU32;

use crate::Namespace;

/// Selects how a store is opened.
///
/// A function that opens a store of another crate may take these options too.
///
/// ```
/// use leasehold::{Namespace, OpenOptions, Schema};
///
/// let options = OpenOptions::default().with_namespace(Namespace::new("billing")?);
/// assert_eq!(options.schema, Schema::Create);
/// # Ok::<(), leasehold::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The namespace of the locks in the store: it names their table or prefixes their keys.
    pub namespace: Namespace,
    /// What to do if the schema, or a database file, is missing.
    pub schema: Schema,
    /// The store opens at most this many connections for its calls; `None` means the store's
    /// default.
    ///
    /// PostgreSQL, MySQL and MongoDB have such a limit. One connection for heartbeats and one for
    /// hints are not counted where the store's page says so.
    pub max_connections: Option<NonZeroU32>,
}

impl OpenOptions {
    /// Sets the [namespace](Self::namespace).
    #[must_use]
    pub fn with_namespace(self, namespace: Namespace) -> Self {
        Self { namespace, ..self }
    }

    /// Sets what to do where the [schema](Self::schema) is missing.
    #[must_use]
    pub fn with_schema(self, schema: Schema) -> Self {
        Self { schema, ..self }
    }

    /// Sets the [maximum number of connections](Self::max_connections).
    #[must_use]
    pub fn with_max_connections(self, most: impl Into<Option<NonZeroU32>>) -> Self {
        Self { max_connections: most.into(), ..self }
    }
}

/// Selects what happens if the schema of a store is missing when it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Schema {
    /// Creates the schema. If it exists, nothing is changed and no right to create it is needed.
    #[default]
    Create,
    /// Fails: the application's own migrations create the schema, from the text of
    /// [`url::schema`](crate::url::schema).
    ///
    /// The error is [`Invalid`](crate::ErrorKind::Invalid). A store without a schema ignores this.
    Require,
}
