//! Repeats a step while the database is busy.

use std::time::Duration;

use tokio::time::sleep;

use super::error_codes;
use crate::{Clock, Result, SystemClock};

/// A step is repeated for at most this long while others open or create the database.
///
/// Some steps answer "busy" at once, whatever the busy timeout of the connection is: switching to the write-ahead log needs the file for itself for a moment.
const BUSY_RETRY_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Repeats `step` while it answers "busy", up to a limit.
pub(super) async fn retry_while_busy<T, F>(mut step: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    let give_up = SystemClock.now() + BUSY_RETRY_LIMIT;
    let mut pause = PAUSE;
    loop {
        match step().await {
            Err(error) if error_codes::is_busy(&error) && SystemClock.now() < give_up => {
                // With jitter, so that processes that collided do not collide again.
                let jitter = fastrand::u32(..8);
                sleep(pause + pause * jitter / 8).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            Err(error) => return Err(error_codes::not_written(error)),
            Ok(value) => return Ok(value),
        }
    }
}
