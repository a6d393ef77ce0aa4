//! The part of a store that is the same for every datastore.
//!
//! A [`Backend`] contains what differs: one atomic operation for each decision, and how hints
//! arrive. [`Store`] makes a [`LockStore`](crate::LockStore) of it: it checks ttls, merges
//! duplicates in a batch, repeats an attempt if the record changed in between, turns records into
//! outcomes, pages through lists, limits how long a call takes, adds the operation and the store to
//! errors, and keeps one subscription to hints for all watches, which it reopens when it breaks.
//!
//! All stores of this crate's features are built this way. For another datastore, implement
//! [`Backend`], return a `Store` of it from a function of your own, and run the suite of
//! `leasehold-conformance` against that store.

mod attempts;
mod backend;
mod backoff;
mod batch;
mod hints;
mod operations;
mod outcome;
mod presence;
#[cfg(any(feature = "etcd", feature = "mongodb"))]
mod recent_refusals;
#[cfg(test)]
mod scripted;
mod store;
mod watch;

pub use attempts::Attempt;
pub use backend::{Backend, Decision, Entry, Found, Operation, Page, StoredInstance};
pub use backoff::Backoff;
pub use hints::Hints;
pub use outcome::{acquire_outcome, renew_outcome};
#[cfg(any(feature = "etcd", feature = "mongodb"))]
pub(crate) use recent_refusals::RecentRefusals;
pub use store::Store;
