//! A store returns these errors from the optional methods that it does not implement.

use crate::{Error, ErrorKind};

pub(super) fn queues_unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "the store does not support queues")
        .with_fix("use an exclusive lock, or another store")
}

pub(super) fn instances_unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "the store does not support instance records")
}
