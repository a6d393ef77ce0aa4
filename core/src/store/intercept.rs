//! An interceptor wraps a store: one method sees every call.
//!
//! A type that implements [`Interceptor`] is a [`LockStore`]. It counts, delays, fails or changes
//! the calls to the store that it wraps, mostly in tests and measurements.
//!
//! ```
//! use std::sync::atomic::{AtomicUsize, Ordering};
//!
//! use leasehold_core::intercept::{Interceptor, Reply, Request};
//! use leasehold_core::{Client, LockStore, MemoryStore, Result, async_trait};
//!
//! #[derive(Debug, Default)]
//! struct RenewalCounter {
//!     store: MemoryStore,
//!     leases: AtomicUsize,
//! }
//!
//! #[async_trait]
//! impl Interceptor for RenewalCounter {
//!     fn inner(&self) -> &dyn LockStore {
//!         &self.store
//!     }
//!
//!     async fn intercept(&self, request: Request) -> Result<Reply> {
//!         if let Request::Renew(leases) = &request {
//!             self.leases.fetch_add(leases.len(), Ordering::Relaxed);
//!         }
//!         request.send_to(&self.store).await
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
//! let client = Client::new(RenewalCounter::default())?;
//! assert!(client.lock("nightly-report")?.try_acquire().await?.is_some());
//! # Ok(()) }
//! ```

mod calls;

use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    AcquireOptions, AcquireOutcome, DisableOptions, DisableOutcome, EnableOutcome, EnterOptions,
    HintStream, InstanceRecord, LeaseId, ListOptions, LockName, LockRecord, LockStore, Presence,
    PruneOptions, ReleaseOptions, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

/// An interceptor is a store that wraps another store.
///
/// Each call to a method of [`LockStore`] becomes a call to [`intercept`](Self::intercept).
#[async_trait]
pub trait Interceptor: Debug + Send + Sync + 'static {
    /// Returns the wrapped store.
    fn inner(&self) -> &dyn LockStore;

    /// Answers a request, mostly by [sending](Request::send_to) it to the wrapped store.
    ///
    /// # Errors
    /// This fails with the error of the intercepted call, or with one that the interceptor adds. A
    /// reply to another method than the requested one becomes an error of the kind
    /// [`Corrupt`](crate::ErrorKind::Corrupt).
    async fn intercept(&self, request: Request) -> Result<Reply>;

    /// Returns the [label](LockStore::label) of this store: that of the wrapped store unless it is
    /// overridden.
    fn store_label(&self) -> &str {
        self.inner().label()
    }
}

/// A request is a call to a method of [`LockStore`], with its arguments. Each variant is named
/// after its method.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// This is a call to [`LockStore::acquire`].
    Acquire(LockName, AcquireOptions),
    /// This is a call to [`LockStore::acquire_many`].
    AcquireMany(Vec<(LockName, AcquireOptions)>),
    /// This is a call to [`LockStore::enter`].
    Enter(LockName, EnterOptions),
    /// This is a call to [`LockStore::leave`].
    Leave(LockName, LeaseId),
    /// This is a call to [`LockStore::renew`].
    Renew(Vec<RenewOptions>),
    /// This is a call to [`LockStore::release`].
    Release(LockName, LeaseId),
    /// This is a call to [`LockStore::release_many`].
    ReleaseMany(Vec<ReleaseOptions>),
    /// This is a call to [`LockStore::disable`].
    Disable(LockName, DisableOptions),
    /// This is a call to [`LockStore::enable`].
    Enable(LockName),
    /// This is a call to [`LockStore::get`].
    Get(LockName),
    /// This is a call to [`LockStore::list`].
    List(ListOptions),
    /// This is a call to [`LockStore::prune`].
    Prune(PruneOptions),
    /// This is a call to [`LockStore::announce`].
    Announce(Presence, Duration),
    /// This is a call to [`LockStore::withdraw`].
    Withdraw(Uuid),
    /// This is a call to [`LockStore::instances`].
    Instances,
    /// This is a call to [`LockStore::watch`].
    Watch,
}

impl Request {
    /// Returns the name of the method.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Acquire(..) => "acquire",
            Self::AcquireMany(_) => "acquire_many",
            Self::Enter(..) => "enter",
            Self::Leave(..) => "leave",
            Self::Renew(_) => "renew",
            Self::Release(..) => "release",
            Self::ReleaseMany(_) => "release_many",
            Self::Disable(..) => "disable",
            Self::Enable(_) => "enable",
            Self::Get(_) => "get",
            Self::List(_) => "list",
            Self::Prune(_) => "prune",
            Self::Announce(..) => "announce",
            Self::Withdraw(_) => "withdraw",
            Self::Instances => "instances",
            Self::Watch => "watch",
        }
    }

    /// Returns whether the call may change the record of a lock.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self {
            Self::Acquire(..)
            | Self::AcquireMany(_)
            | Self::Enter(..)
            | Self::Leave(..)
            | Self::Renew(_)
            | Self::Release(..)
            | Self::ReleaseMany(_)
            | Self::Disable(..)
            | Self::Enable(_)
            | Self::Prune(_) => true,
            Self::Get(_)
            | Self::List(_)
            | Self::Announce(..)
            | Self::Withdraw(_)
            | Self::Instances
            | Self::Watch => false,
        }
    }

    /// Makes the call to that store.
    ///
    /// # Errors
    /// This fails with the error of the call.
    pub async fn send_to(self, store: &(impl LockStore + ?Sized)) -> Result<Reply> {
        Ok(match self {
            Self::Acquire(name, options) => Reply::Acquire(store.acquire(&name, &options).await?),
            Self::AcquireMany(attempts) => Reply::AcquireMany(store.acquire_many(&attempts).await),
            Self::Enter(name, options) => Reply::Enter(store.enter(&name, &options).await?),
            Self::Leave(name, lease) => Reply::Leave(store.leave(&name, lease).await?),
            Self::Renew(leases) => Reply::Renew(store.renew(&leases).await?),
            Self::Release(name, lease) => Reply::Release(store.release(&name, lease).await?),
            Self::ReleaseMany(leases) => Reply::ReleaseMany(store.release_many(&leases).await),
            Self::Disable(name, options) => Reply::Disable(store.disable(&name, &options).await?),
            Self::Enable(name) => Reply::Enable(store.enable(&name).await?),
            Self::Get(name) => Reply::Get(store.get(&name).await?),
            Self::List(options) => Reply::List(store.list(&options).await?),
            Self::Prune(options) => Reply::Prune(store.prune(&options).await?),
            Self::Announce(presence, ttl) => {
                store.announce(&presence, ttl).await?;
                Reply::Announce
            }
            Self::Withdraw(instance) => {
                store.withdraw(instance).await?;
                Reply::Withdraw
            }
            Self::Instances => Reply::Instances(store.instances().await?),
            Self::Watch => Reply::Watch(store.watch().await?),
        })
    }
}

/// A reply is the return value of the method in the [`Request`] of the same name.
#[non_exhaustive]
pub enum Reply {
    /// This is what [`LockStore::acquire`] returned.
    Acquire(AcquireOutcome),
    /// This is what [`LockStore::acquire_many`] returned.
    AcquireMany(Vec<Result<AcquireOutcome>>),
    /// This is what [`LockStore::enter`] returned.
    Enter(AcquireOutcome),
    /// This is what [`LockStore::leave`] returned.
    Leave(ReleaseOutcome),
    /// This is what [`LockStore::renew`] returned.
    Renew(Vec<RenewOutcome>),
    /// This is what [`LockStore::release`] returned.
    Release(ReleaseOutcome),
    /// This is what [`LockStore::release_many`] returned.
    ReleaseMany(Vec<Result<ReleaseOutcome>>),
    /// This is what [`LockStore::disable`] returned.
    Disable(DisableOutcome),
    /// This is what [`LockStore::enable`] returned.
    Enable(EnableOutcome),
    /// This is what [`LockStore::get`] returned.
    Get(Option<LockRecord>),
    /// This is what [`LockStore::list`] returned.
    List(Vec<LockRecord>),
    /// This is what [`LockStore::prune`] returned.
    Prune(Vec<LockName>),
    /// This is what [`LockStore::announce`] returned.
    Announce,
    /// This is what [`LockStore::withdraw`] returned.
    Withdraw,
    /// This is what [`LockStore::instances`] returned.
    Instances(Vec<InstanceRecord>),
    /// This is what [`LockStore::watch`] returned.
    Watch(HintStream),
}

impl Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquire(outcome) => f.debug_tuple("Acquire").field(outcome).finish(),
            Self::AcquireMany(outcomes) => f.debug_tuple("AcquireMany").field(outcomes).finish(),
            Self::Enter(outcome) => f.debug_tuple("Enter").field(outcome).finish(),
            Self::Leave(outcome) => f.debug_tuple("Leave").field(outcome).finish(),
            Self::Renew(outcomes) => f.debug_tuple("Renew").field(outcomes).finish(),
            Self::Release(outcome) => f.debug_tuple("Release").field(outcome).finish(),
            Self::ReleaseMany(outcomes) => f.debug_tuple("ReleaseMany").field(outcomes).finish(),
            Self::Disable(outcome) => f.debug_tuple("Disable").field(outcome).finish(),
            Self::Enable(outcome) => f.debug_tuple("Enable").field(outcome).finish(),
            Self::Get(record) => f.debug_tuple("Get").field(record).finish(),
            Self::List(records) => f.debug_tuple("List").field(records).finish(),
            Self::Prune(names) => f.debug_tuple("Prune").field(names).finish(),
            Self::Announce => f.write_str("Announce"),
            Self::Withdraw => f.write_str("Withdraw"),
            Self::Instances(records) => f.debug_tuple("Instances").field(records).finish(),
            Self::Watch(_) => f.write_str("Watch"),
        }
    }
}
