//! This crate has Leasehold's store contract and its engine. Applications depend on the crate
//! `leasehold`, which re-exports all of it and adds the datastores.
//!
//! The trait [`LockStore`] separates two halves. Below it, a datastore decides each call in one
//! atomic operation, by its own clock. Above it, a [`Client`] does what takes time: it waits for
//! [`Lock`]s, [`FairLock`]s, [`Semaphore`]s and [`RwLock`]s and campaigns in [`Election`]s, renews
//! what it holds in one shared heartbeat, and stops trusting a lease before the store can grant it
//! to another.
//!
//! The rules of the upper half are pure: one state machine decides what to do about a lease at each
//! event, and another about a job. Neither does I/O or reads a clock.
//!
//! # The feature `unstable`
//!
//! It makes those state machines public, for the checks of this repository: the modules `lease` and
//! `election::machine`. What it adds may change or disappear in any release.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod client_builder;
mod client_resign;
mod clock;
pub mod election;
mod engine;
mod error;
mod fencing_token;
mod holder;
mod id;
#[cfg(feature = "unstable")]
pub mod lease;
#[cfg(not(feature = "unstable"))]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the feature makes it public")]
mod lease;
mod lease_id;
mod lock;
mod moment;
mod name;
mod observer;
mod settings;
mod store;
pub mod telemetry;
mod timing;

pub use async_trait::async_trait;
pub use client::Client;
pub use client_builder::ClientBuilder;
pub use client_resign::ResignOutcome;
pub use clock::{Clock, SystemClock, TokioClock};
pub use election::{
    Election, ElectionHandle, Job, JobError, Leadership, RaiseFence, RaiseOutcome, Role, Status,
    StopReason, job_fn, job_from_fns,
};
#[doc(hidden)]
pub use engine::background_runtime;
pub use error::{Error, ErrorKind, Result};
pub use fencing_token::FencingToken;
pub use holder::Holder;
pub use lease::LossReason;
pub use lease_id::LeaseId;
pub use lock::{FairLock, Guard, Lock, Position, RwLock, Semaphore};
pub use moment::Moment;
pub use name::{LockName, Namespace, Reason};
pub use observer::{Leader, Observation, Observations};
pub use settings::Settings;
pub use store::intercept;
pub use store::{
    AcquireOptions, AcquireOutcome, Capabilities, CurrentHolder, DisableOptions, DisableOutcome,
    Disablement, EnableOutcome, EnterOptions, EntryRecord, EntryStanding, Grant, Held, Hint,
    HintStream, InstanceRecord, LeaseRecord, ListOptions, LockKind, LockRecord, LockState,
    LockStore, LockStoreExt, MAX_ENTRIES, MAX_TTL, MemoryStore, Presence, PruneOptions,
    QueueRecord, Queued, Reach, ReleaseOptions, ReleaseOutcome, RenewOptions, RenewOutcome,
    StoreClock, Wake, check_ttl, count_holding,
};
pub use timing::Timing;
