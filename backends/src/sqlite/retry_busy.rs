//! Repeats a step for which the database is busy.

use std::time::Duration;

use tokio::time::sleep;

use super::error;
use crate::{Clock, Result, SystemClock};

/// How long to wait for a database that others are opening or creating at the same time.
///
/// Some of these steps answer "busy" at once, without the patience that connections are set to:
/// switching to the write-ahead log needs the file for itself for a moment.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Repeats `step` for as long as it answers "busy" and patience lasts.
pub(super) async fn patiently<T, F>(mut step: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    let give_up = SystemClock.now() + PATIENCE;
    let mut pause = PAUSE;
    loop {
        match step().await {
            Err(error) if error::is_busy(&error) && SystemClock.now() < give_up => {
                // Starters that collide are not to collide again in step.
                let jitter = fastrand::u32(..8);
                sleep(pause + pause * jitter / 8).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            Err(error) => return Err(error::not_written(error)),
            Ok(value) => return Ok(value),
        }
    }
}
