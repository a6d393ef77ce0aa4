//! The fence for data in MongoDB.
//!
//! [`MongoFence::check`] is the first statement of each transaction, on a replica set or a sharded
//! cluster. MongoDB has no shared lock on a document, so a check writes to the fence's document, and
//! the transactions of one term cannot overlap: the second one to check fails with
//! [`Error::Conflict`](crate::Error::Conflict), and is run again. A check takes two round trips.
//!
//! ```
//! use leasehold_fence::mongodb::MongoFence;
//! use leasehold_fence::{Namespace, Result, Term};
//! use mongodb::bson::{Document, doc};
//! use mongodb::{ClientSession, Database};
//!
//! # use std::time::Duration;
//! # async fn example(database: &Database, term: &Term, session: &mut ClientSession) -> Result<()> {
//! let fence = MongoFence::new(database, &Namespace::default(), term);
//! fence.raise(Duration::from_secs(10)).await?; // once a term
//!
//! session.start_transaction().await.map_err(|cause| fence.error(cause))?;
//! fence.check(session).await?; // on an error: abort_transaction
//! let change = doc! { "$inc": { "balance": 1 } };
//! let ledger = database.collection::<Document>("ledger");
//! let update = ledger.update_one(doc! { "_id": 1 }, change).session(&mut *session);
//! update.await.map_err(|cause| fence.error(cause))?;
//! session.commit_transaction().await.map_err(|cause| fence.error(cause))?;
//! # Ok(()) }
//! ```
//!
//! In the driver's convenient transactions, [`callback_error`] lets the driver repeat a transaction
//! that has conflicted with another one:
//!
//! ```
//! # use leasehold_fence::mongodb::{MongoFence, callback_error};
//! # use mongodb::bson::{Document, doc};
//! # use mongodb::{ClientSession, Collection, error::Result};
//! # async fn example(
//! #     fence: &MongoFence, ledger: &Collection<Document>, session: &mut ClientSession,
//! # ) -> Result<()> {
//! let transaction = session.start_transaction().and_run2(async |session| {
//!     fence.check(session).await.map_err(callback_error)?;
//!     let change = doc! { "$inc": { "balance": 1 } };
//!     ledger.update_one(doc! { "_id": 1 }, change).session(session).await.map(drop)
//! });
//! transaction.await
//! # }
//! ```
//!
//! A write to a single document needs no transaction: see [`MongoFence::filter`].

mod document;
mod error;
mod fence;

pub use self::document::FIELD;
pub use self::error::callback_error;
pub use self::fence::MongoFence;
