//! A fence makes sure that a leader whose term is over cannot commit.
//!
//! A lease cannot stop a process that was paused and resumes too late. The fencing token can, if
//! each write checks it where the data is, in the application's own transaction:
//!
//! * `raise`, once a term, before its first write: it refuses all older terms from then on, and
//!   waits for those of their transactions that had passed a check, up to a limit.
//! * `check`, the first statement of each transaction: it fails with [`Error::Stale`] if a newer
//!   term has raised its fence.
//!
//! So once `raise` has returned, no transaction of an older term can commit; and transactions of
//! one term run side by side.
//!
//! The locks may be in another datastore than the data: a fence takes a [`Term`], which is a name
//! and a token.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "mongodb")]
pub mod mongodb;
mod raise;
#[cfg(feature = "redis")]
pub mod redis;
mod schema;
mod term;
#[cfg(feature = "url")]
pub mod url;

pub use error::{Blocked, Error, NotRaised, Result, Session, Stale};
pub use leasehold_core::{FencingToken, LockName, Namespace};
pub use raise::{raise_fn, raise_outcome};
pub use schema::Schema;
pub use term::Term;
