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
//!
//! # A store of your own
//!
//! The example `own_store` in the folder `examples` of the repository is a store on a map in this
//! process, to be copied: its record has everything that a backend stores of a name, and its test
//! runs the suite.
//!
//! `Store` is a type of this crate, so another crate cannot add methods to it. Write a function
//! that returns a `Store` of your backend. A `Store` adds the operation and its label to the errors
//! of calls; that function adds them to the errors of opening, with
//! `error.during("open").on_store(label)`. It may take [`OpenOptions`](crate::OpenOptions), as the
//! stores of this crate do.
//!
//! No URL leads to such a store: [`url::open`](crate::url::open), the module `configuration` and
//! the command line know only the backends of this crate, and others cannot be registered. The
//! application opens the store and passes it to [`Client::new`](crate::Client::new).
//!
//! # A datastore with a blocking API
//!
//! Each method copies its arguments, and calls the datastore in `tokio::task::spawn_blocking`. An
//! error of the task that it returns means that the call panicked or that the runtime ends: a write
//! is then [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), and a read
//! [`Unavailable`](crate::ErrorKind::Unavailable).
//!
//! The thread makes the whole decision: it begins the transaction, reads the clock, commits, and
//! then reports the change to the watches, even if the caller is gone by then.
//!
//! A call that is dropped does not stop its thread. A thread that waits for others, such as for the
//! only writer of an embedded datastore, must stop waiting when its caller is gone or after a limit
//! of its own, because waiting threads use up those of the runtime. It notices that the caller is
//! gone by a `Weak` of an `Arc` that the method keeps until the thread has answered:
//!
//! ```
//! use std::sync::{Arc, Weak};
//!
//! use leasehold::{Error, ErrorKind, Result};
//!
//! /// Runs a write on a thread. The write checks its `Weak` while it waits, and again when it has
//! /// its turn.
//! async fn write<T: Send + 'static>(
//!     work: impl FnOnce(&Weak<()>) -> Result<T> + Send + 'static,
//! ) -> Result<T> {
//!     let caller = Arc::new(());
//!     let present = Arc::downgrade(&caller);
//!     let ended = tokio::task::spawn_blocking(move || work(&present)).await;
//!     drop(caller); // if this future is dropped earlier, `caller` is dropped with it
//!     ended.unwrap_or_else(|error| {
//!         Err(Error::new(ErrorKind::OutcomeUnknown, "the call panicked").with_source(error))
//!     })
//! }
//! ```
//!
//! If a limit of its own ends the wait before that of the call
//! ([`call_limit`](Backend::call_limit), 10 s by default) does, a write can say that it wrote
//! nothing: it is [`Unavailable`](crate::ErrorKind::Unavailable).
//!
//! # An embedded datastore
//!
//! A database that can be opened only once is opened by a value of your own, which all its stores
//! share, and which has the channel by which a change reaches their watches. The `Database` of
//! `own_store` is such a value. If other processes change the database too, a watch must poll,
//! unless the database reports their changes.
//!
//! If an error makes an open database useless, such as a full disk, the store opens it again: by
//! the promise `calls-end`, the same store works again once its datastore does.

mod attempts;
mod backend;
mod backoff;
mod batch;
mod data;
pub(crate) mod entries;
pub(crate) mod hint_text;
mod hints;
mod operations;
mod outcome;
mod presence;
#[cfg(any(feature = "etcd", feature = "mongodb", feature = "mysql"))]
mod recent_refusals;
mod renewals;
#[cfg(test)]
mod scripted;
mod store;
mod watch;

pub use attempts::Attempt;
pub use backend::Backend;
pub use backoff::Backoff;
pub use data::{Decision, Entry, Found, Operation, Page, StoredInstance};
pub use hints::Hints;
pub use outcome::{acquire_outcome, renew_outcome};
#[cfg(any(feature = "etcd", feature = "mongodb", feature = "mysql"))]
pub(crate) use recent_refusals::RecentRefusals;
pub use store::Store;
