//! What only the fuzzer reaches: how URLs and records are read, without a server to read them from.

use crate::Result;

/// The label of the store that the URL names, if it is one. Connects to nothing.
pub fn label(url: &str) -> Result<String> {
    (crate::url::driver(url)?.label)(url)
}

/// Of etcd.
#[cfg(feature = "etcd")]
pub mod etcd {
    pub use crate::etcd::fuzzing::*;
}

/// Of MongoDB.
#[cfg(feature = "mongodb")]
pub mod mongodb {
    pub use crate::mongodb::fuzzing::*;
}

/// Of Redis.
#[cfg(feature = "redis")]
pub mod redis {
    pub use crate::redis::fuzzing::*;
}
