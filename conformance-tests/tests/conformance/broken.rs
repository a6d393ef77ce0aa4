//! This module defines errors of the test itself, as opposed to errors of the store.

use std::error::Error as StdError;

use leasehold_core::{Error, ErrorKind};

/// Wraps an error of the test's own work, such as a container that does not start.
pub(crate) fn broken(source: impl StdError + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unavailable, "the test's own work failed").with_source(source)
}
