//! Leasehold's contract and engine.

mod capabilities;
mod client;
mod clock;
pub mod election;
mod engine;
mod error;
mod holder;
mod lease;
mod lock;
mod memory;
mod name;
mod observer;
mod record;
mod settings;
mod store;
mod store_ext;

pub use capabilities::{Capabilities, Reach, StoreClock, Wake};
pub use client::{Client, ClientBuilder};
pub use clock::{Clock, Moment, SystemClock, TokioClock};
pub use election::{Election, ElectionHandle, Job, Leadership, StopReason};
pub use engine::Loss;
pub use error::{Error, ErrorKind, Result};
pub use holder::Holder;
pub use lease::{FencingToken, LeaseId};
pub use lock::{Guard, Lock};
pub use memory::MemoryStore;
pub use name::{LockName, Namespace, Reason};
pub use observer::{Leader, Observation, Observations};
pub use record::{Disablement, LeaseRecord, LockRecord, LockState};
pub use settings::{Settings, Timing};
pub use store::{
    AcquireOptions, AcquireOutcome, DisableOptions, DisableOutcome, EnableOutcome, Grant, Held,
    Hint, HintStream, ListOptions, LockStore, MAX_TTL, ReleaseOutcome, RenewOptions, RenewOutcome,
    check_ttl,
};
pub use store_ext::LockStoreExt;
