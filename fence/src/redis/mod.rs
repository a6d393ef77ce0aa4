//! The fence for data in Redis or Valkey.
//!
//! The server runs one script or `MULTI` at a time, so raising the fence never waits. A check is
//! the first statement of the application's own script, or of a transaction with `WATCH`:
//!
//! ```
//! use leasehold_fence::redis::RedisFence;
//! use leasehold_fence::{Namespace, Result, Term};
//! use redis::aio::ConnectionLike;
//!
//! async fn add(connection: &mut impl ConnectionLike, term: &Term, amount: i64) -> Result<i64> {
//!     let fence = RedisFence::new(&Namespace::default(), term);
//!     fence.raise(connection).await?; // once a term
//!     let script = RedisFence::script("return redis.call('INCRBY', KEYS[1], ARGV[1])");
//!     let mut call = script.key("ledger");
//!     fence.bind(call.arg(amount));
//!     call.invoke_async(connection).await.map_err(|cause| fence.error(cause))
//! }
//! ```
//!
//! In a cluster the keys of a script must be in the same hash slot as [`RedisFence::key`]; see
//! [`RedisFence::with_hash_tag`].
//!
//! # What a failover can lose
//!
//! Replication is asynchronous: the failure of a primary can lose the latest raise, and until the
//! next one an older term can write again. `WAIT` after [`RedisFence::raise`] makes this less likely.
//!
//! If a fence's key is deleted, an older term can write again too. The key never expires, but a
//! `maxmemory-policy` whose name begins with `allkeys` may evict it: use `noeviction` or a policy
//! whose name begins with `volatile`.

mod error;
mod fence;
mod script;

pub use self::fence::RedisFence;
pub use self::script::CHECK;
