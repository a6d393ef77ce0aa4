//! Adds to an error what the call was about.

use crate::{Error, LockName};

/// Returns a function that adds the operation, the store and, if there is one, the lock to an error.
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
