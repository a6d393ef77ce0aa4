//! Adds the context of a call to its error.

use crate::{Error, LockName};

/// Returns a function that adds the operation, the store and the lock, if any, to an error.
pub(crate) fn with_context(
    operation: &'static str,
    store: &str,
    name: Option<&LockName>,
) -> impl Fn(Error) -> Error {
    move |error| {
        let error = error.during(operation).on_store(store);
        name.map_or_else(|| error.clone(), |name| error.clone().for_lock(name))
    }
}
