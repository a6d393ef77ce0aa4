//! A store opens this pool for the application.

use std::num::NonZeroU32;
use std::time::Duration;

use sqlx::Pool;
use sqlx::pool::PoolOptions;

use super::call::MAX_CALL_CONNECTIONS;
use super::server::{ConnectOptions, Server};

/// A call waits this long for a connection of the pool.
const POOL_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that the application no longer uses is kept this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Creates a pool for the application's own statements, which connects when it is first used. The
/// store's calls use their own connections, at most as many.
pub(crate) fn application_pool<DB: Server>(
    options: &ConnectOptions<DB>,
    most: Option<NonZeroU32>,
) -> Pool<DB> {
    PoolOptions::new()
        .max_connections(most.map_or(MAX_CALL_CONNECTIONS, NonZeroU32::get))
        .acquire_timeout(POOL_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .connect_lazy_with(options.clone())
}
