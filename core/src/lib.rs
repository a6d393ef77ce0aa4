//! Leasehold's contract and engine.

mod capabilities;
mod clock;
mod error;
mod holder;
mod lease;
mod memory;
mod name;
mod record;
mod store;
mod store_ext;

pub use capabilities::{Capabilities, Reach, StoreClock, Wake};
pub use clock::{Clock, Moment, SystemClock, TokioClock};
pub use error::{Error, ErrorKind, Result};
pub use holder::Holder;
pub use lease::{FencingToken, LeaseId};
pub use memory::MemoryStore;
pub use name::{LockName, Namespace, Reason};
pub use record::{Disablement, LeaseRecord, LockRecord, LockState};
pub use store::{
    AcquireOptions, AcquireOutcome, DisableOptions, DisableOutcome, EnableOutcome, Grant, Held,
    Hint, HintStream, ListOptions, LockStore, MAX_TTL, ReleaseOutcome, RenewOptions, RenewOutcome,
    check_ttl,
};
pub use store_ext::LockStoreExt;
