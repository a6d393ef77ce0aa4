//! Completing an error with what it was about.

use crate::{Error, LockName};

/// Names the operation, the store and, where one is concerned, the lock.
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
