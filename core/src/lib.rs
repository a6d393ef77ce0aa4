//! Leasehold's contract and engine; applications depend on the crate `leasehold`, which has all of
//! it and the datastores.
//!
//! Two halves meet in [`LockStore`]. Below it, a datastore decides each call in one atomic
//! operation, by its own clock. Above it, a [`Client`] does what takes time: it waits for
//! [`Lock`]s and campaigns in [`Election`]s, renews what it holds in one shared heartbeat, and
//! stops trusting a lease before the store can grant it to another.
//!
//! The rules of the upper half are pure: [`election::machine`] says what to do for each event, and
//! [`election::Hold`] until when a lease may be trusted. Neither does I/O or reads a clock.

mod capabilities;
mod client;
mod clock;
pub mod election;
mod engine;
mod error;
mod holder;
mod id;
mod lease;
mod lock;
mod memory;
mod name;
mod observer;
mod presence;
mod record;
mod settings;
mod store;
mod store_ext;
pub mod telemetry;

pub use async_trait::async_trait;
pub use capabilities::{Capabilities, Reach, StoreClock, Wake};
pub use client::{Client, ClientBuilder, ResignOutcome};
pub use clock::{Clock, Moment, SystemClock, TokioClock};
pub use election::{
    Election, ElectionHandle, Job, JobError, Leadership, Standing, Status, StopReason, job_fn,
    start_stop,
};
pub use engine::Loss;
pub use error::{Error, ErrorKind, Result};
pub use holder::Holder;
pub use lease::{FencingToken, LeaseId};
pub use lock::{Guard, Lock};
pub use memory::MemoryStore;
pub use name::{LockName, Namespace, Reason};
pub use observer::{Leader, Observation, Observations};
pub use presence::{InstanceRecord, Presence};
pub use record::{Disablement, LeaseRecord, LockRecord, LockState};
pub use settings::{Settings, Timing};
pub use store::{
    AcquireOptions, AcquireOutcome, DisableOptions, DisableOutcome, EnableOutcome, Grant, Held,
    Hint, HintStream, ListOptions, LockStore, MAX_TTL, PruneOptions, ReleaseOutcome, RenewOptions,
    RenewOutcome, check_ttl,
};
pub use store_ext::LockStoreExt;
